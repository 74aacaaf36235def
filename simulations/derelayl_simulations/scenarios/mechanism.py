"""The section of a scenario that names the rules which are code: one of each kind in `ledger.mechanism`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from ..ledger import Mechanism
from ..ledger.mechanism import mechanism, not_run, rule
from ..world.section import Section

RuleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(:[0-9.]+)?$", max_length=64)]
"""One of `ledger.mechanism` or of a plug-in, with the number that it may be given after a colon."""


class MechanismSettings(Section):
    """Rules by name. The defaults are what the contract and the network's validators run."""

    payment: RuleName = "proportional"  # how the selected legs share a pot
    delivery: RuleName = "all"  # which of the submitted legs may be selected
    base: RuleName = "public"  # what a child is compared with
    matching: RuleName = "trunk"  # which leg continues which tip, and for which bond
    duplicates: RuleName = "seats"  # which legs are copies
    score: RuleName = "median"  # what a committee says of a leg, and what its seats are paid for

    @field_validator("*")
    @classmethod
    def _rules_are_known(cls, text: str, field: ValidationInfo) -> str:
        assert field.field_name is not None
        rule(field.field_name, text)
        return text

    def made(self) -> Mechanism:
        """Return the mechanism of these rules. Raises LocalFault for a plug-in that cannot be used."""
        return mechanism(self.model_dump())

    def not_run(self) -> tuple[str, ...]:
        """Say which of them are not what the contract and the network's validators run."""
        return not_run(self.model_dump())
