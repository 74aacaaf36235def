"""Which of its samples a peer judges by."""

from pathlib import Path

from derelayl_node.peer import never_trained


def test_a_home_that_has_had_a_trainer_never_judges_by_what_it_trained_on(tmp_path: Path) -> None:
    assert never_trained(tmp_path, ("validator",))
    assert not never_trained(tmp_path, ("trainer", "validator"))
    assert not never_trained(tmp_path, ("validator",))
