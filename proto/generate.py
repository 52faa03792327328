"""Generate the Python code of the protobuf sources; with --check, fail when what is checked in differs from them."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "rustfs"
TARGET = Path(__file__).parent.parent / "rustfs" / "core" / "pb"


def generate(target: Path) -> None:
    sources = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{SOURCES}",
        f"--python_out={target}",
        f"--pyi_out={target}",
    ]
    subprocess.run([*command, *sources], check=True)  # noqa: S603 -- our own sources


def generated(target: Path) -> set[str]:
    return {str(path.relative_to(target)) for path in target.rglob("*_pb2.py*") if path.suffix in {".py", ".pyi"}}


def main() -> int:
    if "--check" not in sys.argv[1:]:
        TARGET.mkdir(parents=True, exist_ok=True)
        generate(TARGET)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        names = generated(Path(scratch)) | generated(TARGET)
        _, different, missing = filecmp.cmpfiles(scratch, TARGET, sorted(names), shallow=False)
    if different or missing:
        sys.stderr.write(f"generated code differs from proto/: {', '.join(different + missing)}; run 'make proto'\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
