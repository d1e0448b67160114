"""What was meant by a verb that is none: a verb of this group, or of another one."""

from __future__ import annotations

from difflib import get_close_matches

import click

_CLOSE = 3
"""At most so many guesses."""


def no_verb(ctx: click.Context, group: click.Group, name: str) -> click.UsageError:
    """The refusal, with what was probably meant, else with where all verbs are listed."""
    near = get_close_matches(name, group.list_commands(ctx), n=_CLOSE)
    guesses = [f"{ctx.command_path} {verb}" for verb in near] or _elsewhere(ctx, name)
    shown = " or ".join(f"`{guess}`" for guess in guesses)
    meant = f"did you mean {shown}?" if guesses else f"`{ctx.command_path} --help` lists all"
    return click.UsageError(f"{ctx.command_path} has no verb {name!r}; {meant}", ctx)


def _elsewhere(ctx: click.Context, name: str) -> list[str]:
    """Groups, this one's neighbours, that have a verb of exactly this name."""
    root = ctx.find_root()
    found = []
    for group_name, group in _groups(root):
        if name in group.list_commands(root):
            found.append(f"{root.command_path} {group_name} {name}")
    if ctx is not root and name in _names(root):
        found.insert(0, f"{root.command_path} {name}")
    return found[:_CLOSE]


def _groups(root: click.Context) -> list[tuple[str, click.Group]]:
    assert isinstance(root.command, click.Group)
    commands = {name: root.command.get_command(root, name) for name in _names(root)}
    return [(name, each) for name, each in commands.items() if isinstance(each, click.Group)]


def _names(root: click.Context) -> list[str]:
    assert isinstance(root.command, click.Group)
    return root.command.list_commands(root)
