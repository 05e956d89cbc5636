//! The broken designs, and what each must turn red.

use crate::planted::Fault;

/// A claim, and the titles of those of its checks that must turn red.
pub type Red = (&'static str, &'static [&'static str]);
/// A scenario, and what stands in its file instead of what.
pub type Edits = (&'static str, &'static [(&'static str, &'static str)]);

pub struct Broken {
    /// What is broken, in words.
    pub what: &'static str,
    pub server: Option<Fault>,
    pub edits: &'static [Edits],
    pub red: &'static [Red],
    /// `fails`, or `invalid` where witnesses contradict each other.
    pub verdict: &'static str,
}

pub const SHORT_CREATES: [(&str, &str); 2] =
    [("measurement_s = 12", "measurement_s = 6"), ("slice_s = 0.2", "slice_s = 0.1")];
pub const SHORT_REDIRECTS: [(&str, &str); 3] = [
    ("warm_up_s = 1.5", "warm_up_s = 0.5"),
    ("measurement_s = 7.5", "measurement_s = 3.2"),
    ("slice_s = 0.25", "slice_s = 0.1"),
];

/// A planted server hands every byte on by a thread of its own, on a machine that other tests use.
pub const FEWER_CREATES: (&str, &str) = ("per-second = 1_000", "per-second = 200");

pub const FAILED: &str = "no failed create while keygen is away";
pub const STORED: &str = "every acknowledged link is stored, once and as asked";

pub const TECHNIQUES_OFF: Broken = Broken {
    what: "techniques switched off",
    server: None,
    edits: &[
        (
            "creates-before-after",
            &[
                SHORT_CREATES[0],
                SHORT_CREATES[1],
                (
                    "[variant.after]\ndesign = \"after\"",
                    "[variant.after]\ndesign = \"after\"\ncodes = \"checked\"\ninsert = \"single\"",
                ),
                ("[variant.before]\ndesign = \"before\"", "[variant.before]\ndesign = \"after\""),
            ],
        ),
        ("creates-under-goose", &[("design = \"after\"", "design = \"after\"\ninsert = \"single\"")]),
    ],
    red: &[
        (
            "db-statements",
            &[
                "≥ 20 × fewer statements per create",
                "≤ 0.05 statements per create, after",
                "≤ 0.05 statements per create, after, under Goose users",
            ],
        ),
        (
            "no-uniqueness-queries",
            &[
                "≤ 0.05 uniqueness queries per create, after",
                "≤ 0.05 uniqueness queries and retries per create, after",
            ],
        ),
        (
            "compute-bound",
            &[
                "the database takes ≤ half of the CPU time of creates",
                "the database takes ≥ half of the CPU time of creates by the design before",
                "≥ 2 × less CPU time per create, server and database",
            ],
        ),
        (
            "generation-speed",
            &["durable creates, ≥ 10 × as many per second", "durable creates, ≥ 2 × as many per second"],
        ),
    ],
    verdict: "fails",
};

pub const NO_CACHE: Broken = Broken {
    what: "caches that are cold, and hold next to nothing",
    server: None,
    edits: &[
        (
            "redirects-in-bytes",
            &[
                SHORT_REDIRECTS[0],
                SHORT_REDIRECTS[1],
                SHORT_REDIRECTS[2],
                ("cache-bytes = 67_108_864", "cache-entries = 1\nwarm = \"none\"\nredis-values = \"off\""),
            ],
        ),
        (
            "redirects-27000-entries",
            &[
                SHORT_REDIRECTS[0],
                SHORT_REDIRECTS[1],
                SHORT_REDIRECTS[2],
                ("cache-entries = 27_000", "cache-entries = 27_000\nwarm = \"none\"\ncache-max-age = 1"),
            ],
        ),
        (
            "journey-under-goose",
            &[("cache-bytes = 268_435_456", "cache-entries = 1\nwarm = \"none\"\nredis-values = \"off\"")],
        ),
    ],
    red: &[
        (
            "hit-rate",
            &[
                "≥ 99 % with 27,000 entries",
                "≥ 99 % of the ceiling with 27,000 entries",
                "≥ 99 % with 64 MB, which hold all links",
                "≥ 99 % with 256 MB, which hold all links, under Goose users",
            ],
        ),
        ("compute-bound", &["≤ 0.01 statements per redirect"]),
    ],
    verdict: "fails",
};

pub const NEVER_WARM_AGAIN: Broken = Broken {
    what: "a cache that forgets after a second, and that nobody warms",
    server: None,
    edits: &[
        (
            "caches-emptied",
            &[("warm-hot = 1_000_000", "warm = \"none\"\ncache-max-age = 1\nredis-values = \"off\"")],
        ),
        (
            "caches-emptied-often",
            &[("warm = \"none\"", "warm = \"none\"\ncache-entries = 1\nredis-values = \"off\"")],
        ),
    ],
    red: &[(
        "rewarm",
        &[
            "≥ 1 warming after the caches were emptied",
            "back at 99 % of the ceiling within 5 s",
            "≤ 8,000 reads of the database by 24,000 visits after the caches were emptied",
            "no stampede: ≤ 1.05 reads of the database per link visited anew",
        ],
    )],
    verdict: "fails",
};

pub const WARM_FOR_EVER: Broken = Broken {
    what: "a monitor that warms whenever it looks",
    server: Some(Fault::WarmsForEver),
    edits: &[("redirects-27000-entries", &SHORT_REDIRECTS)],
    red: &[("rewarm", &["≤ 2 warmings in 7.5 s where the ceiling lies below 95 %"])],
    verdict: "fails",
};

pub const MISSES_TOLD_AS_HITS: Broken = Broken {
    what: "a server that tells misses as hits",
    server: Some(Fault::TellsHits),
    edits: &[(
        "redirects-27000-entries",
        &[
            SHORT_REDIRECTS[0],
            SHORT_REDIRECTS[1],
            SHORT_REDIRECTS[2],
            ("cache-entries = 27_000", "cache-entries = 27_000\nwarm = \"none\""),
        ],
    )],
    red: &[("hit-rate", &["≥ 99 % with 27,000 entries", "≥ 99 % of the ceiling with 27,000 entries"])],
    verdict: "invalid",
};

pub const POOL_TOO_SMALL: Broken = Broken {
    what: "a pool of ten codes, filled from blocks of sixteen",
    server: None,
    edits: &[(
        "creates-before-after",
        &[
            SHORT_CREATES[0],
            SHORT_CREATES[1],
            (
                "[variant.after]\ndesign = \"after\"",
                "[variant.after]\ndesign = \"after\"\npool = 10\nblock-ids = 16\nmax-block-ids = 16",
            ),
        ],
    )],
    red: &[("pool", &["≥ 99 % of the codes come from the pool", "≤ 0.001 waits for a block per create"])],
    verdict: "fails",
};

pub const CONTRACT_BROKEN: Broken = Broken {
    what: "a field by another name",
    server: Some(Fault::RenamesClicks),
    edits: &[("creates-before-after", &SHORT_CREATES)],
    red: &[("api-stable", &["nothing that the published OpenAPI document does not allow"])],
    verdict: "fails",
};

pub const KEYGEN_NEEDED: Broken = Broken {
    what: "a server that cannot do without keygen",
    server: Some(Fault::NeedsKeygen),
    edits: &[(
        "redis-set-back",
        &[(
            "[[fault]]\nat_s = 1\n",
            "[[fault]]\nat_s = 2\ntarget = \"keygen\"\naction = \"kill\"\n\n[[fault]]\nat_s = 1\n",
        )],
    )],
    red: &[("keygen-fallback", &[FAILED]), ("counter-regression", &["no failed create meanwhile"])],
    verdict: "fails",
};

pub const KEYGEN_WAITED_FOR: Broken = Broken {
    what: "a server that waits for keygen before it goes around it",
    server: Some(Fault::WaitsForKeygen),
    edits: &[("keygen-killed", &[FEWER_CREATES])],
    red: &[("keygen-fallback", &["p95 of a create while keygen is away, over that before: ≤ 5"])],
    verdict: "fails",
};

pub const STANDS_STILL: Broken = Broken {
    what: "a server that stands still for 0.7 s when keygen goes away",
    server: Some(Fault::StandsStill),
    edits: &[("keygen-killed", &[FEWER_CREATES])],
    red: &[("keygen-fallback", &["p95 of a create while keygen is away, over that before: ≤ 5"])],
    verdict: "fails",
};

pub const COLLISIONS_HIDDEN: Broken = Broken {
    what: "codes without a partition, and a server that does not tell of collisions",
    server: Some(Fault::HidesCollisions),
    edits: UNPARTITIONED.edits,
    red: &[("no-collisions", &["no collision between two stacks", "no collision between eighteen stacks"])],
    verdict: "fails",
};

const KILLED_AGAIN: &str = r#"at_s = 1.5
target = "postgres"
action = "start"

[[fault]]
at_s = 2
target = "postgres"
action = "kill"

[[fault]]
at_s = 2.5
target = "postgres"
action = "start"
"#;

pub const COMMITS_LATER: Broken = Broken {
    what: "creates that are acknowledged before they are on disk",
    server: Some(Fault::CommitsLater),
    // PostgreSQL writes what it acknowledged five times a second at least: one kill may come right after.
    edits: &[(
        "creates-killed",
        &[("at_s = 1.5\ntarget = \"postgres\"\naction = \"start\"\n", KILLED_AGAIN)],
    )],
    red: &[(
        "durable-creates",
        &["every acknowledged create outlives the death of the database, and of the server"],
    )],
    verdict: "fails",
};

pub const KEYGEN_NEVER_AWAY: Broken = Broken {
    what: "keygen that nobody killed",
    server: None,
    edits: &[("keygen-killed", &[("[[fault]]\nat_s = 3\ntarget = \"keygen\"\naction = \"kill\"\n", "")])],
    red: &[(
        "keygen-fallback",
        &[
            "≥ 1 block leased from Redis while keygen is away",
            "≥ 1 block leased without keygen while it is away",
        ],
    )],
    verdict: "fails",
};

pub const KEYGEN_NEVER_BACK: Broken = Broken {
    what: "keygen that stays away",
    server: None,
    edits: &[("keygen-killed", &[("[[fault]]\nat_s = 6\ntarget = \"keygen\"\naction = \"start\"\n", "")])],
    red: &[("keygen-fallback", &["≥ 1 block leased from keygen once it is back"])],
    verdict: "fails",
};

pub const NOTHING_LEASED: Broken = Broken {
    what: "blocks that outlast the run",
    server: None,
    edits: &[(
        "redis-set-back",
        &[
            ("connections = 64", "connections = 4"),
            ("block-ids = 2_000\nmax-block-ids = 2_000", "block-ids = 1_000_000\nmax-block-ids = 1_000_000"),
        ],
    )],
    red: &[(
        "counter-regression",
        &["≥ 1 block leased after Redis was set back", "≥ 1 block leased after Redis was flushed"],
    )],
    verdict: "fails",
};

pub const ISSUED_TWICE: Broken = Broken {
    what: "a code that is handed out again",
    server: Some(Fault::IssuesTwice),
    edits: &[],
    red: &[
        ("keygen-fallback", &["no id issued twice"]),
        ("counter-regression", &["no id issued twice after Redis was set back and flushed"]),
    ],
    verdict: "fails",
};

pub const FORGOTTEN: Broken = Broken {
    what: "links that are acknowledged and not stored",
    server: Some(Fault::Forgets),
    edits: &[
        ("stacks-apart", &[("measurement_s = 5", "measurement_s = 2")]),
        ("stacks-eighteen", &[("measurement_s = 4.8", "measurement_s = 2.4")]),
        ("replicas", &[("measurement_s = 9\n", "measurement_s = 6\n")]),
    ],
    red: &[
        ("keygen-fallback", &[STORED]),
        ("counter-regression", &[STORED]),
        (
            "no-collisions",
            &[
                "every acknowledged link of two stacks is stored, once and as asked",
                "every acknowledged link of eighteen stacks is stored, once and as asked",
            ],
        ),
        ("rolling-restart", &[STORED]),
        ("scales-out", &[STORED]),
    ],
    verdict: "fails",
};

pub const UNPARTITIONED: Broken = Broken {
    what: "codes without a partition",
    server: None,
    edits: &[
        (
            "stacks-apart",
            &[
                ("measurement_s = 5", "measurement_s = 2"),
                ("design = \"after\"", "design = \"after\"\ncodes = \"unpartitioned\""),
            ],
        ),
        (
            "stacks-eighteen",
            &[
                ("measurement_s = 4.8", "measurement_s = 2.4"),
                ("design = \"after\"", "design = \"after\"\ncodes = \"unpartitioned\""),
            ],
        ),
        (
            "replicas",
            &[
                ("measurement_s = 9\n", "measurement_s = 6\n"),
                ("restart = true", "restart = false"),
                ("processes = 2", "processes = 2\nstacks = [\"a\", \"b\"]\ncodes = \"unpartitioned\""),
                ("processes = 4", "processes = 4\nstacks = [\"a\", \"b\"]\ncodes = \"unpartitioned\""),
            ],
        ),
    ],
    red: &[
        (
            "no-collisions",
            &[
                "no collision between two counters without a partition",
                "no collision between two stacks",
                "no collision between eighteen stacks",
            ],
        ),
        ("scales-out", &["no collision between two processes", "no collision between four processes"]),
    ],
    verdict: "fails",
};

const A_PROCESS_DIES: (&str, &str) = (
    "[[operation]]",
    "[[fault]]\nat_s = 4\ntarget = \"app\"\naction = \"kill\"\nprocess = 0\n\n[[operation]]",
);

/// To be told from a target that is gone for good.
const IT_COMES_BACK: (&str, &str) = (
    "[[operation]]",
    "[[fault]]\nat_s = 4.4\ntarget = \"app\"\naction = \"start\"\nprocess = 0\n\n[[operation]]",
);

pub const KILLED_REPLICAS: Broken = Broken {
    what: "replicas that are killed instead of drained",
    server: None,
    edits: &[
        (
            "replicas-restarted",
            &[
                ("measurement_s = 7.5", "measurement_s = 5"),
                (
                    "action = \"restart\"",
                    "action = \"kill\"\nprocess = 0\n\n[[fault]]\nat_s = 3\ntarget = \"app\"\naction = \"start\"\nprocess = 0",
                ),
            ],
        ),
        ("stacks-apart", &[A_PROCESS_DIES]),
        ("stacks-eighteen", &[A_PROCESS_DIES]),
        ("caches-emptied", &[A_PROCESS_DIES, IT_COMES_BACK]),
    ],
    red: &[
        ("rolling-restart", &["no failed request while replicas restart"]),
        ("no-collisions", &["no failed create of two stacks", "no failed create of eighteen stacks"]),
        ("rewarm", &["no failed visit meanwhile"]),
    ],
    verdict: "fails",
};

pub const WITHOUT_TECHNIQUES: &str =
    "processes = 4\ninsert = \"single\"\ncache-entries = 1\nwarm = \"none\"\nredis-values = \"off\"";

pub const COSTLY_REPLICAS: Broken = Broken {
    what: "four processes without coalescing and without a cache",
    server: None,
    edits: &[
        (
            "replicas",
            &[
                ("measurement_s = 9\n", "measurement_s = 9.6\n"),
                ("processes = 2", "processes = 2\ninsert = \"single\""),
                ("processes = 4", WITHOUT_TECHNIQUES),
            ],
        ),
        ("replicas-reading", &[("processes = 4", WITHOUT_TECHNIQUES)]),
    ],
    red: &[(
        "scales-out",
        &[
            "statements per create, four processes over one: ≤ 1.1",
            "statements per redirect, four processes over one: ≤ 1.1",
            "≤ 0.8 statements per create with four processes",
            "≤ 0.5 statements per create with two processes",
            "≤ 0.05 statements per redirect with four processes",
            "CPU time of server, keygen and database per request, four processes over one: ≤ 1.1",
            "≤ 0.2 statements per request with four processes, nine reads to a create",
            "the server's CPU time per request, four processes over one: ≤ 1.5, nine reads to a create",
            "CPU time of server, keygen and database per request, four processes over one: ≤ 2, nine reads to a create",
        ],
    )],
    verdict: "fails",
};

pub const ALWAYS_WELL: Broken = Broken {
    what: "a health page that always says that all is well",
    server: Some(Fault::AlwaysWell),
    edits: &[],
    red: &[("health", &["no failed probe under load and with each dependency down"])],
    verdict: "fails",
};

pub const HARDLY_PROBED: Broken = Broken {
    what: "a server that needs its database for each redirect, hardly probed",
    server: None,
    edits: &[(
        "dependencies-away",
        &[
            ("slice_s = 0.2", "slice_s = 0.5"),
            (
                "design = \"after\"",
                "design = \"after\"\ncache-entries = 1\nwarm = \"none\"\nredis-values = \"off\"",
            ),
        ],
    )],
    red: &[(
        "health",
        &["≥ 150 probes, or that none failed says little", "no failed redirect while a dependency is away"],
    )],
    verdict: "fails",
};

pub const ALL: [&Broken; 22] = [
    &TECHNIQUES_OFF,
    &NO_CACHE,
    &NEVER_WARM_AGAIN,
    &WARM_FOR_EVER,
    &MISSES_TOLD_AS_HITS,
    &POOL_TOO_SMALL,
    &CONTRACT_BROKEN,
    &KEYGEN_NEEDED,
    &KEYGEN_WAITED_FOR,
    &STANDS_STILL,
    &COLLISIONS_HIDDEN,
    &COMMITS_LATER,
    &KEYGEN_NEVER_AWAY,
    &KEYGEN_NEVER_BACK,
    &NOTHING_LEASED,
    &ISSUED_TWICE,
    &FORGOTTEN,
    &UNPARTITIONED,
    &KILLED_REPLICAS,
    &COSTLY_REPLICAS,
    &ALWAYS_WELL,
    &HARDLY_PROBED,
];

/// Checks of what no deployment changes: numbers that are computed from the form of a code, the time that a code alone
/// takes, and ids beyond all leases, which no setting of the server brings about. Their broken variants are in the tests of
/// `reports/tests/it/verdicts/catalogue.rs`, `loadgen/src/generation.rs` and `loadgen/tests/it/ledger.rs`.
pub const COMPUTED: [Red; 3] = [
    (
        "no-collisions",
        &[
            "each id lies in what its stack leased, of two stacks",
            "each id lies in what its stack leased, of eighteen stacks",
        ],
    ),
    (
        "code-space",
        &[
            "≥ 218,340,105,584,896 codes per stack",
            "≥ 852,891,037,441 codes per stack",
            "≥ 218,340,105,584,896 codes in all",
        ],
    ),
    ("generation-speed", &["codes alone, ≥ 10 × against check-then-insert"]),
];
