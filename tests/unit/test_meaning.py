"""A verb that is none: what was meant is said, and where all verbs are listed."""

from __future__ import annotations

import pytest

from kirikae.console.main import main

MEANT = [
    ("moev start web", "kirikae has no verb 'moev'; did you mean `kirikae move`?"),
    ("move strat web", "kirikae move has no verb 'strat'; did you mean `kirikae move start` or"),
    ("local upp", "kirikae local has no verb 'upp'; did you mean `kirikae local up`?"),
    ("rollback r1", "kirikae has no verb 'rollback'; did you mean `kirikae release rollback`?"),
    ("survey back-out", "kirikae survey has no verb 'back-out'; did you mean `kirikae back-out`?"),
    ("status", "did you mean `kirikae local status` or `kirikae move status` or"),
    ("move xyzzy", "kirikae move has no verb 'xyzzy'; `kirikae move --help` lists all"),
]


@pytest.mark.parametrize(("typed", "says"), MEANT)
def test_a_misspelt_verb_is_told_with_what_was_meant(typed, says, capsys):
    """Of the same group, else of another one; exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(typed.split())
    assert ended.value.code == 2
    assert says in capsys.readouterr().err.replace("\n", " ")
