"""Groups of commands with one that is meant when none is named: `rustfs admin heal bucket/prefix`."""

from typing import Any

from typer.core import TyperGroup


def with_default(name: str) -> type[TyperGroup]:
    """A group whose command `name` is meant wherever the first word is no command of the group."""

    class Group(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 -- click's Context, or typer's own copy
            if not args or (args[0] not in self.commands and args[0] != "--help"):
                args = [name, *args]
            return super().parse_args(ctx, args)

    return Group
