"""The demo: a whole relay on this machine, told while it happens."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from derelayl_protocol.checkpoint.ancestry import lineage_digest
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import DEVNET
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.spelling import first_digits, to_hex
from derelayl_protocol.types import UNAVAILABLE, Address, Root

from ..devnet.founding import Founded, found
from ..devnet.processes import Child, preload, stop_all
from ..devnet.world import TOKEN_SUPPLY, WORLD_FILE, Member, Plan, World, prepare
from ..evm.client import EvmLedger, open_network_ledger
from ..handoff import Handoff
from ..keys import NodeKey
from ..network.host import open_network
from ..ports import BlockRef
from ..store.chunks import FileStore
from .audit import audit
from .chronicle import Chronicle, Leg
from .figures import draw_accuracy, draw_lineage
from .measuring import FETCH_SECONDS, Laboratory, open_laboratory
from .node_api import NodeApi
from .report import MIN_SELECTED_LEGS, Accuracy, Killed, LegLine, Report
from .request import DemoOptions

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
DEMO_SECONDS = 15 * 60.0
"""A demo that has not ended by then is stuck; it is measured in minutes."""

EXTRA_ROUNDS = 6
"""Rounds granted beyond the asked ones until the killed peer is back and enough legs were selected."""

AGREE_SECONDS = 60.0
"""How long the peers' indexes may take to reach the last closed round."""

Say = Callable[[str], None]


async def run_demo(options: DemoOptions, say: Say, conclude: Callable[[Report], None]) -> None:
    """Run the demo and leave its report, pictures and files in `options.out`; `conclude` shows the report.

    With `keep` the network stays up after that until the task is cancelled. No child outlives this call.
    """
    started = time.monotonic()
    _clear(options.out)
    preload()
    say(f"preparing keys, shards of {options.data} and a chain in {options.out}")
    plan = Plan(
        trainers=options.trainers,
        validators=options.validators,
        data=options.data,
        partition=options.partition,
        seed=options.seed,
    )
    world = await trio.to_thread.run_sync(prepare, options.out, plan)
    children: list[Child] = []
    try:
        with trio.fail_after(DEMO_SECONDS):
            founded = await _start(world, options, children, say)
            demo = Demo(world, founded, options, children, say, started)
            report = await demo.run()
            conclude(report)
        if options.keep:
            say(f"the network stays up: open {report.api_url} (Ctrl-C stops it)")
            await _watch_over(children)
    finally:
        stop_all(children)


async def _start(world: World, options: DemoOptions, children: list[Child], say: Say) -> Founded:
    children.append(chain_process(world))
    children[0].start()
    url = (await children[0].ready())["url"]
    say(f"the embedded chain answers at {url}")
    founded = await found(world, url, DEVNET)
    genesis = first_digits(founded.genesis)
    say(f"ledger {founded.network.ledger} holds the model {founded.network.model}, genesis {genesis}")
    for member in world.members:
        children.append(node_process(world, member, options))
        children[-1].start()
    async with trio.open_nursery() as nursery:
        for child in children[1:]:
            nursery.start_soon(child.ready)
    say(f"{len(world.members)} peers run, each a process of its own: {', '.join(m.name for m in world.members)}")
    return founded


def chain_process(world: World) -> Child:
    """The command of the chain."""
    home = world.home("chain")
    return Child("chain", ["chain", "run", "--home", str(home), "--port", "0"], home)


def node_process(world: World, member: Member, options: DemoOptions) -> Child:
    """The command of one peer, as a user would type it."""
    home = world.home(member.name)
    command = ["node", "run", "--home", str(home), "--network", str(world.network_file), "--role", member.role]
    command += ["--p2p-port", str(member.p2p_port), "--api-port", str(member.api_port)]
    command += ["--password-file", str(world.password_file), "--seed", str(world.seed)]
    command += ["--steps", str(options.steps), "--batch", str(options.batch)]
    command += ["--learning-rate", str(options.learning_rate), "--poll-seconds", str(POLL_SECONDS)]
    if member.data:
        command += ["--data", world.data_of(member)]
    return Child(member.name, command, home)


async def _watch_over(children: list[Child]) -> None:
    while True:
        for child in children:
            child.check()
        await trio.sleep(POLL_SECONDS)


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if (out / WORLD_FILE).exists():
        shutil.rmtree(out)
    elif out.exists() and any(out.iterdir()):
        raise LocalFault(f"{out} is neither empty nor from an earlier demo: choose another folder with --out")


class Demo:
    """One run, from the first round to the report."""

    def __init__(
        self, world: World, founded: Founded, options: DemoOptions, children: list[Child], say: Say, started: float
    ) -> None:
        self._world = world
        self._founded = founded
        self._options = options
        self._children = {child.name: child for child in children}
        self._all_children = children
        self._say = say
        self._started = started
        names = {Address(member.account): member.name for member in world.members}
        self._chronicle = Chronicle(names)
        self._apis = {member.name: NodeApi(f"http://127.0.0.1:{member.api_port}") for member in world.members}
        self._known: tuple[BlockRef, ...] = ()
        self._killed: tuple[Member, int] | None = None
        self._restarted = False
        self._bytes_fetched: dict[Root, int] = {}  # of the parent, by child, as its trainer states in the manifest

    async def run(self) -> Report:
        """Watch the relay, kill and restart a trainer, then measure and report."""
        key = NodeKey.generate()
        home = self._world.home("observer")
        network = self._founded.network
        async with AsyncExitStack() as stack:
            ledger = await open_network_ledger(network, key, home)
            stack.callback(ledger.close)
            store = FileStore(home / "store")
            peers = await stack.enter_async_context(
                open_network(key.secret, store=store, models=[self._founded.model], bootstrap=network.bootstrap)
            )
            handoff = Handoff(peers, store, key, network.ledger_id, home / "weights")
            laboratory = await stack.enter_async_context(open_laboratory(self._world, self._options, handoff))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(laboratory.measure_all)
                await self._watch(ledger, handoff, laboratory)
                agree = await self._lineages_agree()
                laboratory.no_more()
            if not self._options.keep:
                await trio.to_thread.run_sync(stop_all, self._all_children[1:])
            return await self._measure(ledger, laboratory, agree)

    # --- watching ---------------------------------------------------------------------------------------------------

    async def _watch(self, ledger: EvmLedger, handoff: Handoff, laboratory: Laboratory) -> None:
        while not self._over():
            for child in self._all_children:
                child.check()
            await self._follow(ledger)
            view = await ledger.round(self._founded.model)
            await self._intervene(view)
            await self._collect_checkpoints(handoff, view, laboratory)
            await trio.sleep(POLL_SECONDS)
        await self._collect_checkpoints(handoff, await ledger.round(self._founded.model), laboratory)

    def _over(self) -> bool:
        closed = self._chronicle.closed_rounds
        if closed < self._options.rounds:
            return False
        selected = sum(leg.selected for leg in self._chronicle.legs)
        shown = self._rejoined_round() is not None and selected >= MIN_SELECTED_LEGS
        return shown or closed >= self._options.rounds + EXTRA_ROUNDS

    async def _follow(self, ledger: EvmLedger) -> None:
        more = True
        while more:
            batch = await ledger.logs(self._known)
            if self._known and batch.keep_through < self._known[-1].number:
                raise LocalFault("the embedded chain lost blocks: its file was changed while the demo ran")
            self._known = batch.known_after(self._known)
            for line in self._chronicle.tell(entry.event for entry in batch.entries):
                self._say(line)
            more = batch.more

    async def _collect_checkpoints(self, handoff: Handoff, view: RoundView, laboratory: Laboratory) -> None:
        """Take genesis and each child over as any stranger could, while somebody has them, and have them measured."""
        await handoff.take(self._founded.genesis, FETCH_SECONDS)
        laboratory.add(self._founded.genesis)
        for leg in self._chronicle.legs:
            if leg.round == view.number and view.phase == Phase.TRAIN:
                continue  # its trainer shows it from COMMIT on
            if leg.child is not None and leg.child not in self._bytes_fetched:
                taken = await handoff.take(leg.child, FETCH_SECONDS)
                self._bytes_fetched[leg.child] = int(taken.manifest.header.training.get("bytes_fetched", 0))
                laboratory.add(leg.child)

    async def _intervene(self, view: RoundView) -> None:
        """Kill the victim in the middle of its leg; start it again once its lease has run out."""
        if self._killed is None and view.number >= self._options.kill_round:
            victim = await self._trainer_in_mid_leg(view)
            if victim is not None:
                self._children[victim.name].kill()
                self._killed = (victim, view.number)
                self._say(f"round {view.number}: {victim.name} is killed (SIGKILL) in the middle of its leg")
        elif self._killed is not None and not self._restarted and not self._is_in_leg_of(view, self._killed[1]):
            victim = self._killed[0]
            self._say(f"round {view.number}: {victim.name} is started again with the same key and store")
            self._children[victim.name].start()
            self._restarted = True

    async def _trainer_in_mid_leg(self, view: RoundView) -> Member | None:
        for member in reversed(self._world.members):
            if member.role != "trainer" or not self._may_lose(member, view):
                continue
            if await self._apis[member.name].is_training(view.number):
                return member
        return None

    def _is_in_leg_of(self, view: RoundView, round_number: int) -> bool:
        return view.number == round_number and view.phase == Phase.TRAIN

    def _may_lose(self, member: Member, view: RoundView) -> bool:
        return any(leg.trainer == member.account and not leg.submitted for leg in view.legs)

    def _rejoined_round(self) -> int | None:
        if self._killed is None:
            return None
        member, round_number = self._killed
        later = (
            leg.round
            for leg in self._chronicle.legs
            if leg.trainer == member.account and leg.child is not None and leg.ending and leg.round > round_number
        )
        return min(later, default=None)

    # --- measuring --------------------------------------------------------------------------------------------------

    async def _lineages_agree(self) -> bool:
        """Whether every peer's index, rebuilt from the chain, gives the ledger's lineage of the closed rounds."""
        through = self._chronicle.closed_rounds
        expected = lineage_digest(self._chronicle.edges(through))
        different = set(self._apis)
        with trio.move_on_after(AGREE_SECONDS):
            while different:
                for name in tuple(different):
                    edges = await self._apis[name].edges(self._founded.model, through)
                    if lineage_digest(edges) == expected:
                        different.discard(name)
                if different:
                    await trio.sleep(POLL_SECONDS)
        if different:
            self._say(f"the lineage of {', '.join(sorted(different))} differs from the ledger's")
        return not different

    async def _measure(self, ledger: EvmLedger, laboratory: Laboratory, agree: bool) -> Report:
        self._say("training the same network centrally for as many steps")
        world, founded, options = self._world, self._founded, self._options
        accounts = [Address(world.founder), *(Address(member.account) for member in world.members)]
        wei = await audit(ledger, founded.model, accounts, TOKEN_SUPPLY)
        accuracies = laboratory.accuracies
        best = self._chronicle.best_checkpoint(founded.genesis)
        steps = options.steps * max(1, len(self._chronicle.lineage_of(best)))
        centralised = await laboratory.centralised(founded.genesis, steps)
        legs = [self._line(leg, accuracies) for leg in self._closed_legs()]
        report = Report(
            seconds=round(time.monotonic() - self._started, 1),
            peers=[member.name for member in world.members],
            rounds=self._chronicle.closed_rounds,
            legs=legs,
            killed=self._killed_line(),
            accuracy=Accuracy(accuracies[founded.genesis], accuracies[best], centralised),
            optimiser_steps=steps,
            wei=wei,
            lineage_equals_ledger=agree,
            api_url=self._apis[world.members[0].name].url,
        )
        report.write(options.out / "report.json")
        draw_lineage(report, to_hex(founded.genesis), options.out / "lineage.png")
        draw_accuracy(report, options.out / "accuracy.png")
        return report

    def _closed_legs(self) -> list[Leg]:
        through = self._chronicle.closed_rounds
        return [leg for leg in self._chronicle.legs if leg.round <= through]

    def _line(self, leg: Leg, accuracies: dict[Root, float]) -> LegLine:
        return LegLine(
            round=leg.round,
            leg=leg.leg,
            trainer=self._world.named(leg.trainer),
            parent=to_hex(leg.parent),
            child=None if leg.child is None else to_hex(leg.child),
            segment=leg.segment,
            score_ppm=None if leg.score == UNAVAILABLE else leg.score,
            ending=leg.ending,
            selected=leg.selected,
            reward_wei=leg.reward,
            bytes_fetched=None if leg.child is None else self._bytes_fetched[leg.child],
            accuracy=None if leg.child is None else accuracies[leg.child],
        )

    def _killed_line(self) -> Killed | None:
        if self._killed is None:
            return None
        member, round_number = self._killed
        forfeited = self._chronicle.forfeited_by(Address(member.account), round_number)
        return Killed(member.name, round_number, forfeited, self._rejoined_round())
