"""What `rustfs start` prints when the node is ready: pure text."""

from collections.abc import Sequence

import rustfs
from rustfs.node.settings import DEFAULT_KEY, Settings


def banner(settings: Settings, codec: str, drive_states: Sequence[str]) -> str:
    """URL, keys, layout, and lines to try."""
    host = settings.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    url = f"{'https' if settings.tls_dir else 'http'}://{shown}:{settings.port}"
    parity = dict(settings.parities)["STANDARD"]
    data = settings.set_size - parity
    default = settings.secret_key == DEFAULT_KEY
    secret = DEFAULT_KEY if default else "(as configured)"
    survives = f"any {parity} of {settings.set_size} drives may fail" if parity else "no drive may fail"
    lines = [
        f"RustFS {rustfs.__version__} is ready.",
        "",
        f"  S3 endpoint   {url}",
        f"  Access key    {settings.access_key}",
        f"  Secret key    {secret}",
        f"  Region        {settings.region}",
        f"  Drives        {len(settings.drives)} in {settings.set_count} set(s) of {settings.set_size}",
        f"  Erasure code  {data} data + {parity} parity ({codec}): {survives}",
        f"  Efficiency    {100 * data // settings.set_size} % of the raw space holds data",
        f"  Workers       {settings.workers}",
        f"  Metrics       {url}/rustfs/metrics",
    ]
    lines += [f"  Attention     {state}" for state in drive_states]
    if default:
        lines += ["", "  The keys are the well-known defaults: fine on this machine, refused on any other address."]
    key, hidden = settings.access_key, DEFAULT_KEY if default else "SECRET_KEY"
    lines += [
        "",
        "  Try it:",
        f"    AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={hidden} AWS_DEFAULT_REGION={settings.region} "
        f"aws --endpoint-url {url} s3 mb s3://demo",
        f"    rclone lsd :s3: --s3-provider Other --s3-endpoint {url} --s3-access-key-id {key} "
        f"--s3-secret-access-key {hidden}",
        "",
    ]
    return "\n".join(lines)
