from derelayl_node.network.faults import MAX_FAULTS, MAX_REMEMBERED, REFUSE_SECONDS, FaultLedger


class Watch:
    """Monotonic seconds that move only when told to."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_peer_is_refused_after_its_faults_and_not_before() -> None:
    faults = FaultLedger(Watch())
    for number in range(MAX_FAULTS):
        assert not faults.is_refused("peer")
        faults.blame("peer", "a wrong byte")
        assert faults.count("peer") == number + 1
    assert faults.is_refused("peer")
    assert not faults.is_refused("another")


def test_a_refused_peer_starts_afresh_after_a_while() -> None:
    watch = Watch()
    faults = FaultLedger(watch)
    for _ in range(MAX_FAULTS):
        faults.blame("peer", "a wrong byte")
    watch.seconds += REFUSE_SECONDS - 1
    assert faults.is_refused("peer")
    watch.seconds += 1
    assert not faults.is_refused("peer")
    faults.blame("peer", "a wrong byte")
    assert faults.count("peer") == 1


def test_the_memory_of_faults_is_bounded() -> None:
    faults = FaultLedger(Watch())
    for number in range(MAX_REMEMBERED + 1):
        faults.blame(f"peer{number}", "a wrong byte")
    assert faults.count("peer0") == 0
    assert faults.count(f"peer{MAX_REMEMBERED}") == 1
