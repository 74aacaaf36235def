"""What the ledger's contract and the token say: the calls that change nothing, decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector

from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.state import ModelState, RoundView, Unbonding
from derelayl_protocol.types import Address, ModelId, Root, Timestamp, Wei

from ..ports import AccountView, LedgerUnavailable
from .answers import Receipt
from .codec import Codec
from .deploy import NetworkAddresses, artifact
from .first_version import check_readable
from .names import NameIndex
from .provider import CallReverted, Rpc
from .typed_data import DOMAIN_VERSION


class Views:
    """Reads one ledger and its token. Synchronous; several threads may share it.

    All methods raise LedgerUnavailable, those that name a block StateGone, those that name a model
    RuleViolation(UNKNOWN_MODEL).
    """

    def __init__(self, rpc: Rpc, addresses: NetworkAddresses) -> None:
        self.rpc = rpc
        self.addresses = addresses
        self.codec = Codec(artifact("RelayLedger")["abi"])
        self.names = NameIndex(rpc, self.codec, addresses.ledger.address, addresses.start_block)
        self._version = ""
        self._rounds: dict[ModelId, tuple[bytes, RoundView]] = {}  # by the head at which each was read

    def read(self, name: str, arguments: Sequence[Any], block: int | None = None) -> Any:
        """What a view of the contract gives, at the end of a block or now."""
        try:
            data = self.rpc.call(self.addresses.ledger.address, self.codec.call(name, *arguments), block=block)
        except CallReverted as error:
            raise self.refusal(error) from error
        return self.codec.result(name, data, self.version() if self.codec.depends_on_version(name) else DOMAIN_VERSION)

    def version(self) -> str:
        """The protocol version that the ledger says it is of; read once. Raises AnotherVersion for an unknown one."""
        if not self._version:
            version = self.read("eip712Domain", ())[2]
            check_readable(version)
            self._version = version
        return self._version

    def refusal(self, error: CallReverted) -> Exception:
        """What a refused call means: a rule of the protocol, or that this is not the ledger that we know."""
        violation = self.codec.violation(error.data)
        if violation is not None:
            return violation
        return LedgerUnavailable(
            f"The ledger failed without a reason of the protocol ({error}): check the network file."
        )

    def events(self, receipt: Receipt) -> tuple[Event, ...]:
        """The ledger's events in a receipt, in their order."""
        ours = (log for log in receipt.logs if log.address == self.addresses.ledger.address)
        return tuple(self.codec.event(log.topics, log.data) for log in sorted(ours, key=lambda log: log.index))

    def round(self, model: ModelId, reached: int) -> RoundView:
        """The running round; the last answer stands while there is no new block. `reached` has been seen before."""
        head = self.rpc.head().ref
        if head.number < reached:
            raise LedgerUnavailable(
                f"The chain's node is at block {head.number}, but {reached} was seen: it is behind others."
            )
        seen, view = self._rounds.get(model, (None, None))
        if view is None or seen != head.hash:
            view = self.codec.round_view(self.read("roundOf", (model,), head.number))
            self._rounds[model] = head.hash, view
        return view

    def model(self, model: ModelId, account: Address, at: int | None = None) -> ModelState:
        """All that is on record of a model, with what one account has unbonding, at the end of a block or now."""
        block = self.rpc.head().ref.number if at is None else at
        rules, creator, genesis, budget, carry, settled_rounds, next_seed = self.read("modelOf", (model,), block)
        self.names.update(block)
        validators = tuple(Address(each.lower()) for each in self.read("validatorsOf", (model,), block))
        records = {
            root: self.codec.checkpoint(self.read("checkpointOf", (model, root), block))
            for root in self.names.roots(model)
        }
        return ModelState(
            rules=self.codec.rules(rules),
            creator=Address(creator.lower()),
            genesis=Root(genesis),
            budget=Wei(budget),
            carry=Wei(carry),
            settled_rounds=settled_rounds,
            next_seed=next_seed,
            current=self.codec.round_view(self.read("roundOf", (model,), block)),
            checkpoints={root: record for root, record in records.items() if record is not None},
            stakes={each: Wei(self.read("stakeOf", (model, each), block)) for each in validators},
            validators=validators,
            unbonding={account: own} if (own := self.unbonding(model, account, block)) else {},
        )

    def unbonding(self, model: ModelId, account: Address, block: int) -> Unbonding | None:
        """What an account has on its way out of its stake."""
        amount, release_time = self.read("unbondingOf", (model, account), block)
        return Unbonding(Wei(amount), Timestamp(release_time)) if amount else None

    def models(self) -> tuple[ModelId, ...]:
        """Models in the order of their creation."""
        self.names.update(self.rpc.head().ref.number)
        return self.names.models()

    def account(self, address: Address) -> AccountView:
        """Where an account's tokens are, all at the newest block but for the wallet."""
        block = self.rpc.head().ref.number
        self.names.update(block)
        models = self.names.staked(address)
        stakes = {model: Wei(self.read("stakeOf", (model, address), block)) for model in models}
        unbonding = {model: self.unbonding(model, address, block) for model in models}
        return AccountView(
            wallet=self.wallet(address),
            free=Wei(self.read("freeOf", (address,), block)),
            stakes={model: stake for model, stake in stakes.items() if stake},
            unbonding={model: entry for model, entry in unbonding.items() if entry},
        )

    def stake(self, model: ModelId, account: Address) -> Wei | None:
        """What an account has bonded, None if nothing shows that it ever did."""
        if bonded := self.read("stakeOf", (model, account)):
            return Wei(bonded)
        unbonding, _ = self.read("unbondingOf", (model, account))
        validators = self.read("validatorsOf", (model,))  # those who lost everything too
        return Wei(0) if unbonding or account in (each.lower() for each in validators) else None

    def free(self, account: Address) -> Wei:
        """An account's withdrawable balance in the ledger."""
        return Wei(self.read("freeOf", (account,)))

    def wallet(self, address: Address, block: int | None = None) -> Wei:
        """An account's tokens outside of the ledger."""
        return self._token(token_call("balanceOf(address)", address), block)

    def token_supply(self) -> Wei:
        """Tokens in existence."""
        return self._token(token_call("totalSupply()"))

    def _token(self, data: bytes, block: int | None = None) -> Wei:
        answer = self.rpc.call(self.addresses.token, data, block=block)
        if len(answer) != 32:
            raise LedgerUnavailable("The token's answer is not a number: check the network file.")
        return Wei(int.from_bytes(answer, "big"))


def token_call(signature: str, *arguments: object) -> bytes:
    """Call data of a function that the ledger's own interface does not have."""
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)
