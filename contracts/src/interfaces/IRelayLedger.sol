// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice Phases of a round, in the order in which they follow one another.
enum Phase {
    BID,
    TRAIN,
    COMMIT,
    REVEAL,
    SETTLE
}

/// @notice Why a round ended without a settlement.
enum VoidReason {
    COMMITTEE_TOO_SMALL,
    NOTHING_SUBMITTED,
    TOO_FEW_COMMITS,
    TOO_FEW_REVEALS
}

/// @notice Rules of a model: fixed at its creation, part of its id.
/// @dev `Bps` are ten-thousandths, `Ppm` millionths of a natural logarithm, amounts wei, times seconds.
struct Rules {
    uint8 legsPerTip; // trainers that may continue one tip in one round
    uint16 selectionBps; // share of a round's submitted legs that may be selected
    uint8 segments; // segments a bid may name: 0 … segments-1, or WHOLE_MODEL
    uint32 bidSeconds; // from the first bid to the earliest matching
    uint32 trainSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    uint8 committeeSize; // seats drawn for a round
    uint8 quorum; // fewer answers than this void the round
    int64 marginPpm; // a leg below this gain is never selected
    int64 agreementPpm; // from this distance on, a score is of no worth to the committee
    uint16 duplicateBps; // correlation from which on a leg duplicates another; 0: none ever does
    uint16 gammaBps; // share of a royalty that climbs one step to the parent
    uint16 trainerBps; // shares of the pot; the three add up to 10,000
    uint16 royaltyBps;
    uint16 validatorBps;
    uint16 slashBps; // share of its stake a seat loses that does not reveal
    uint128 minBid;
    uint128 offerDeposit; // per leg that may continue an offered tip
    uint128 validatorStake; // the least to stake; down to half of it, a stake keeps its chance of a seat
    uint128 emission; // from the model's budget per settled round with a selected leg
    uint32 halvingRounds; // settled rounds after which the emission halves
    uint32 unbondingSeconds; // from unstaking to release: as long a stake can be lost for an equivocation
    uint16 reporterBps; // share of an equivocator's loss that goes to its reporter, the rest goes to the pot
    uint128 accessFee; // for one account's access to one checkpoint; 0 makes the model open
    uint16 accessPotBps; // share of the fee that goes to the pot, the rest goes to the checkpoint and its lineage
}

/// @notice A bid for a lease.
struct Bid {
    address trainer;
    uint8 segment;
    uint128 amount;
}

/// @notice A checkpoint that legs may continue from; `score` is cumulative from genesis. It is stalled when fewer than
/// half of the legs that last continued it, in a round in which any did, were submitted.
struct Tip {
    bytes32 root;
    address owner;
    int64 score;
    bool offered;
    bool stalled;
}

/// @notice A lease and what became of it; `child` is zero until submitted, `deposit` zero if the tip was not offered.
/// `bid` is the bond, the smallest bid that got a leg; zero once the trainer was caught signing two children: such a
/// leg is never selected.
struct Leg {
    address trainer;
    bytes32 parent;
    address owner;
    uint8 segment;
    uint128 bid;
    uint128 deposit;
    bytes32 child;
}

/// @notice A committee seat; `weight` is the stake when the committee was seated, `commitment` is zero until committed.
/// Byte i of `originals`, from the left, is the leg that leg i duplicates in the seat's eyes, i if none.
struct Seat {
    address validator;
    uint128 weight;
    bytes32 commitment;
    bool revealed;
    int64[] scores;
    bytes32 originals;
}

/// @notice A bid that its trainer has signed for anyone to send before `expiry`.
/// @dev EIP-712: Bid(bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry). All signatures here have
/// the compact form of EIP-2098.
struct SignedBid {
    address trainer;
    uint8 segment;
    uint256 amount;
    uint64 expiry;
    bytes32 r;
    bytes32 vs;
}

/// @dev The child of a lease, with the signature (r, vs) of its manifest: by the trainer, over the leg digest.
struct SignedChild {
    uint8 leg;
    bytes32 child;
    bytes32 r;
    bytes32 vs;
}

/// @notice A seat's sealed scores that it has signed for anyone to send.
/// @dev EIP-712: Commit(bytes32 model,uint64 round,bytes32 commitment).
struct SignedCommit {
    address validator;
    bytes32 commitment;
    bytes32 r;
    bytes32 vs;
}

/// @notice A seat's opened seal that it has signed for anyone to send.
/// @dev EIP-712: Reveal(bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt).
struct SignedReveal {
    address validator;
    int64[] scores;
    bytes32 originals;
    bytes32 salt;
    bytes32 r;
    bytes32 vs;
}

/// @notice The running round of a model; `deadline` is zero where the phase has none.
struct RoundView {
    uint64 number;
    Phase phase;
    uint64 deadline;
    bytes32 seed;
    Bid[] bids;
    Tip[] tips;
    Leg[] legs;
    Seat[] seats;
}

/// @notice What is recorded of a model apart from its round, checkpoints and validators.
struct ModelView {
    Rules rules;
    address creator;
    bytes32 genesis;
    uint256 budget;
    uint256 carry;
    uint64 settledRounds;
    bytes32 nextSeed;
}

/// @notice An accepted checkpoint; `pending` is the royalty that waits there to be collected.
struct Checkpoint {
    address owner;
    bytes32 parent;
    int64 score;
    uint64 round;
    uint256 pending;
}

/// @title The relay ledger
/// @notice Records who continued what from whom, has a committee judge every leg, and pays.
/// @dev Assumptions about the parties it depends on:
/// - `token` is a plain ERC-20: a transfer moves exactly the named amount. RelayToken is one. Fees on transfer and
/// rebasing are not supported. A token that calls back finds its books in order and the token movements locked.
/// - The block timestamp is off by seconds at most, so phases should last minutes.
/// - The ledger never sees weights: that a child root names decodable weights is what validators check.
/// Surprises:
/// - Nobody owns the contract; nothing can be paused, upgraded, repaired or minted.
/// - An unknown model is always UnknownModel. A call about a round checks in this order: model, round number, phase,
/// deadline, then the rest.
/// - A tie of orders cannot occur: the caller sorts, the ledger checks every order in one pass and never sorts.
/// - The last validator to reveal can choose between two seeds by staying silent, at the price of its slash.
/// - Signed messages have no nonce: an account has one bid, one commit and one reveal in a round, so a message is used
/// up when it has been executed.
/// - A scored validator can lose stake: a seat whose scores fit the wrong legs better than the right ones is charged.
interface IRelayLedger {
    /* EVENTS */

    /// @notice `amount` moved from the account's wallet to its free balance.
    event Deposited(address indexed account, uint256 amount);

    /// @notice `amount` moved from the account's free balance to its wallet.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice A model was created; its creator owns the genesis checkpoint, the first tip.
    event ModelCreated(bytes32 indexed model, address indexed creator, bytes32 genesis, Rules rules);

    /// @notice `amount` was added to the model's emission budget.
    event Funded(bytes32 indexed model, address indexed account, uint256 amount);

    /// @notice `amount` was added to the account's stake.
    event Staked(bytes32 indexed model, address indexed account, uint256 amount);

    /// @notice The account left the validators with its whole stake, `amount`; all that is unbonding can be released
    /// from `releaseTime` on.
    event Unstaked(bytes32 indexed model, address indexed account, uint256 amount, uint64 releaseTime);

    /// @notice All that was unbonding, `amount`, returned to the account's free balance.
    event StakeReleased(bytes32 indexed model, address indexed account, uint256 amount);

    /// @notice A trainer bid for a lease of `segment`.
    event BidPlaced(
        bytes32 indexed model, uint64 indexed round, address indexed trainer, uint8 segment, uint256 amount
    );

    /// @notice The round was full, and a higher bid `by` another trainer took the place of this one, which returned.
    event BidDisplaced(
        bytes32 indexed model, uint64 indexed round, address indexed trainer, address by, uint256 amount
    );

    /// @notice A tip's owner offered it and locked `deposit`, the rule `offerDeposit` times `legsPerTip`.
    event TipOffered(bytes32 indexed model, uint64 indexed round, bytes32 tip, address indexed owner, uint256 deposit);

    /// @notice What a leg's bid had above the bond returned, or all of a bid that found no tip or whose round was
    /// voided at matching.
    event BidReturned(bytes32 indexed model, uint64 indexed round, address indexed trainer, uint256 amount);

    /// @notice `amount` of an offer's deposit returned: legs not matched, not submitted, selected, or voided.
    event DepositReturned(
        bytes32 indexed model, uint64 indexed round, bytes32 tip, address indexed owner, uint256 amount
    );

    /// @notice A trainer got the lease of `leg`: to continue `parent` in `segment`.
    event LegLeased(
        bytes32 indexed model, uint64 indexed round, uint8 leg, address indexed trainer, bytes32 parent, uint8 segment
    );

    /// @notice The committee of the round was drawn.
    event CommitteeSeated(bytes32 indexed model, uint64 indexed round, address[] validators);

    /// @notice The round entered `phase`, or its first bid set the deadline; `deadline` is zero where there is none.
    event PhaseChanged(bytes32 indexed model, uint64 indexed round, Phase phase, uint64 deadline);

    /// @notice The trainer of `leg` handed over `child`.
    event LegSubmitted(
        bytes32 indexed model, uint64 indexed round, uint8 leg, address indexed trainer, bytes32 parent, bytes32 child
    );

    /// @notice A seat sealed its scores.
    event ScoresCommitted(bytes32 indexed model, uint64 indexed round, address indexed validator, bytes32 commitment);

    /// @notice A seat opened its scores, one for each leg in leg order; UNAVAILABLE is the least int64. Byte i of
    /// `originals`, from the left, is the leg that leg i duplicates, i if none.
    event ScoresRevealed(
        bytes32 indexed model,
        uint64 indexed round,
        address indexed validator,
        int64[] scores,
        bytes32 originals,
        bytes32 salt
    );

    /// @notice Outcome of a leg.
    /// @dev `child` is zero where nothing was submitted; `score` is UNAVAILABLE there and in a voided round.
    /// `bidReturned` and `forfeited` add up to the bid and the part of the owner's deposit that no DepositReturned
    /// event returned.
    event LegSettled(
        bytes32 indexed model,
        uint64 indexed round,
        uint8 leg,
        bytes32 child,
        int64 score,
        bool selected,
        uint256 reward,
        uint256 royalty,
        uint256 bidReturned,
        uint256 forfeited
    );

    /// @notice A seat was paid for telling the legs apart as the others did: `agreement` millionths of its share.
    event ValidatorPaid(
        bytes32 indexed model, uint64 indexed round, address indexed validator, uint64 agreement, uint256 amount
    );

    /// @notice A seat whose scores fit the wrong legs better than the right ones lost `amount` of its stake to the
    /// carry.
    event ValidatorCharged(
        bytes32 indexed model, uint64 indexed round, address indexed validator, uint64 disagreement, uint256 amount
    );

    /// @notice A seat that did not reveal lost `amount` of its stake.
    event ValidatorSlashed(bytes32 indexed model, uint64 indexed round, address indexed validator, uint256 amount);

    /// @notice The round was settled: `pot` was shared out, `emission` of it came from the budget, `carry` was left
    /// over.
    event RoundSettled(
        bytes32 indexed model, uint64 indexed round, uint8 selected, uint256 pot, uint256 emission, uint256 carry
    );

    /// @notice The round ended without a settlement; the tips stay.
    event RoundVoided(bytes32 indexed model, uint64 indexed round, VoidReason reason);

    /// @notice A royalty was split: `kept` went to the owner's free balance, `passed` waits at the parent.
    event RoyaltyCollected(
        bytes32 indexed model, bytes32 indexed root, address indexed owner, uint256 kept, uint256 passed, bytes32 parent
    );

    /// @notice The account paid `fee` for access to a checkpoint: `toPot` went into the carry, the rest waits there.
    event AccessBought(
        bytes32 indexed model, bytes32 indexed root, address indexed account, uint256 fee, uint256 toPot
    );

    /// @notice A trainer was caught signing two children under one lease: its bid, `amount`, is lost, `reward` of it to
    /// the reporter.
    event TrainerEquivocated(
        bytes32 indexed model,
        uint64 indexed round,
        uint8 leg,
        address indexed trainer,
        address reporter,
        uint256 amount,
        uint256 reward
    );

    /// @notice A validator was caught signing two reveals for one round: its stake, bonded or not, is lost, `amount` in
    /// all, `reward` of it to the reporter.
    event ValidatorEquivocated(
        bytes32 indexed model,
        uint64 indexed round,
        address indexed validator,
        address reporter,
        uint256 amount,
        uint256 reward
    );

    /* VIEWS */

    /// @notice The ERC-20 token that everything is paid in.
    function token() external view returns (address);

    /// @notice The account's free balance: what it can withdraw, bid, offer, stake or fund with.
    function freeOf(address account) external view returns (uint256);

    /// @notice The account's stake as validator of the model.
    function stakeOf(bytes32 model, address account) external view returns (uint256);

    /// @notice What the account has unbonding, and from when on it can be released; zeros if there is nothing.
    function unbondingOf(bytes32 model, address account) external view returns (uint256 amount, uint64 releaseTime);

    /// @notice The model's validators in list order: as they staked; one that leaves is replaced by the last.
    function validatorsOf(bytes32 model) external view returns (address[] memory);

    /// @notice The checkpoint, or only zeros if the model has none of that root.
    function checkpointOf(bytes32 model, bytes32 root) external view returns (Checkpoint memory);

    /// @notice Whether the account may fetch the weights of the checkpoint: the model is open, or the account owns the
    /// checkpoint or has bought access to it.
    function accessOf(bytes32 model, bytes32 root, address account) external view returns (bool);

    /// @notice Rules, money and counters of the model.
    function modelOf(bytes32 model) external view returns (ModelView memory);

    /// @notice The running round of the model.
    function roundOf(bytes32 model) external view returns (RoundView memory);

    /// @notice Whether `leafHash` is the leaf at `index` of the RFC 9162 tree of `count` leaves with that root
    /// (2.1.3.2).
    /// @param path The sibling hashes from the leaf upwards.
    function verifyLeaf(bytes32 root, bytes32 leafHash, uint256 index, uint256 count, bytes32[] calldata path)
        external
        pure
        returns (bool);

    /// @notice The leaf hash of a manifest's chunk: SHA-256(0x00 ‖ 0x02 ‖ tensor ‖ offset ‖ length ‖ digest).
    /// @param tensor Index of the tensor in the header. @param offset Byte offset in the tensor. @param length Bytes.
    /// @param digest BLAKE3-256 of the chunk's bytes.
    function chunkLeaf(uint32 tensor, uint64 offset, uint32 length, bytes32 digest) external pure returns (bytes32);

    /* TOKEN MOVEMENTS */

    /// @notice Moves `amount` from the caller's wallet to its free balance; the ledger needs an allowance.
    function deposit(uint256 amount) external;

    /// @notice Like `deposit`, with an allowance that the caller has signed (EIP-2612) instead of sent.
    /// @dev A permit that somebody else has executed before does no harm: it is the allowance that counts.
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Moves `amount` from the caller's free balance to its wallet.
    function withdraw(uint256 amount) external;

    /* MODELS */

    /// @notice Creates a model and puts `budget` of the caller's free balance, possibly zero, behind its emission.
    /// @return The model's id: SHA-256 over the words of creator, genesis root and rules.
    function createModel(Rules calldata rules, bytes32 genesis, uint256 budget) external returns (bytes32);

    /// @notice Adds free balance to the model's emission budget. There is no way back.
    function fund(bytes32 model, uint256 amount) external;

    /* STAKES */

    /// @notice Adds free balance to the caller's stake as validator; the total must reach the rule `validatorStake`.
    function stake(bytes32 model, uint256 amount) external;

    /// @notice Takes the caller off the validators; refused while it holds a seat in the running round. Its whole stake
    /// is unbonding for the rule `unbondingSeconds`, with what is unbonding already.
    function unstake(bytes32 model) external;

    /// @notice Moves all that has unbonded to the caller's free balance.
    function release(bytes32 model) external;

    /* ACCESS */

    /// @notice Buys access to one checkpoint for the rule `accessFee`: `accessPotBps` of it goes to the carry, the rest
    /// is a royalty of the checkpoint.
    function buyAccess(bytes32 model, bytes32 root) external;

    /* ROUNDS */

    /// @notice Bids `amount` for a lease of `segment`; the first bid of a round starts its clock. Where all MAX_BIDS
    /// places are taken, it displaces the smallest bid (of equals the one with the highest place), if it is greater.
    function bid(bytes32 model, uint64 round, uint8 segment, uint256 amount) external;

    /// @notice Locks the deposit for each leg that may continue the caller's tip; offered tips rank first.
    function offer(bytes32 model, uint64 round, bytes32 tip) external;

    /// @notice Closes the bidding, leases the legs and seats the committee; voids the round if that is too small.
    /// @param bidOrder Indices of all bids, a byte each: amount descending, then SHA-256(seed ‖ trainer) ascending.
    /// @param tipOrder Indices of all tips, a byte each: stalled last, then offered first, then score descending, then
    /// SHA-256(seed ‖ root) ascending.
    function matchRound(bytes32 model, uint64 round, bytes calldata bidOrder, bytes calldata tipOrder) external;

    /// @notice Hands over the child of the caller's lease.
    function submit(bytes32 model, uint64 round, uint8 leg, bytes32 child) external;

    /// @notice Seals the scores of the caller's seat.
    /// @param commitment SHA-256(model ‖ round word ‖ validator word ‖ salt ‖ score words ‖ originals).
    function commit(bytes32 model, uint64 round, bytes32 commitment) external;

    /// @notice Opens the seal: one score for each leg in leg order, UNAVAILABLE for those not submitted.
    /// @param originals Byte i from the left: the lowest-numbered leg that leg i duplicates, both submitted; else i
    /// itself. Zero behind the last leg.
    function reveal(bytes32 model, uint64 round, int64[] calldata scores, bytes32 originals, bytes32 salt) external;

    /// @notice Enforces the deadline of the running phase; anyone may.
    function advance(bytes32 model, uint64 round) external;

    /// @notice Ranks, selects and pays, and begins the next round.
    /// @param legOrder The submitted legs, a byte each: score descending, then leg number ascending.
    /// @param seatOrder For each of them in that order the seats that revealed, a byte each: their score of the leg
    /// ascending, then seat number ascending.
    function settle(bytes32 model, uint64 round, bytes calldata legOrder, bytes calldata seatOrder) external;

    /* SIGNED CALLS */

    /// @notice Places the bids of others from their free balances. Passed over: a bid that has expired, finds
    /// every place taken by bids as high or one of its trainer, or is not covered. Anything else wrong with one refuses
    /// all.
    function bidBySig(bytes32 model, uint64 round, SignedBid[] calldata bids) external;

    /// @notice Hands over the children of others. A leg that is submitted is passed over; anything else wrong with one
    /// refuses all.
    function submitBySig(bytes32 model, uint64 round, SignedChild[] calldata children) external;

    /// @notice Commits for others. A seat that has committed is passed over; anything else wrong with one refuses
    /// all.
    function commitBySig(bytes32 model, uint64 round, SignedCommit[] calldata commits) external;

    /// @notice Reveals for others. A seat that has revealed is passed over; anything else wrong with one refuses all.
    function revealBySig(bytes32 model, uint64 round, SignedReveal[] calldata reveals) external;

    /* EQUIVOCATION */

    /// @notice Proves that the trainer of a running lease has signed two children under it. Its bid is lost: the rule
    /// `reporterBps` of it goes to the caller, the rest to the carry. The leg is judged but never selected.
    /// @param r First halves of the signatures of the children's manifests, see SHA-256 leg digest in the protocol.
    /// @param vs Second halves, with the parity in the highest bit (EIP-2098).
    function reportManifests(
        bytes32 model,
        uint64 round,
        uint8 leg,
        bytes32[2] calldata children,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) external;

    /// @notice Proves that a validator has signed two different reveals for one round, running or long over. Its stake
    /// and all that is unbonding are lost and shared out in the same way. It keeps its place and its seat.
    function reportReveals(
        bytes32 model,
        uint64 round,
        address validator,
        int64[][2] calldata scores,
        bytes32[2] calldata originals,
        bytes32[2] calldata salts,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) external;

    /* ROYALTIES */

    /// @notice Splits what waits at `root` and at its ancestors, for at most `steps` checkpoints.
    function collect(bytes32 model, bytes32 root, uint8 steps) external;
}
