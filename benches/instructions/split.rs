//! A dump, split by owner, by function and by stage, per request.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use addr2line::Loader;
use anyhow::Context;
use weft_benches::callgrind::{Dump, Place};

use weft_benches::owner::{self, Frame};

/// What a request costs one sidecar. All figures are per request.
#[derive(Debug)]
pub(crate) struct Split {
    /// Instructions.
    pub(crate) total: f64,
    /// System calls by the library's function that makes them; the most frequent first.
    pub(crate) system_calls: Vec<(String, f64)>,
    /// Calls of `malloc` and its like.
    pub(crate) allocations: f64,
    /// Instructions by whose they are.
    pub(crate) owners: BTreeMap<&'static str, f64>,
    /// The same, with what works for the owner (allocations, copies, the standard library) counted as its own.
    pub(crate) with_tools: BTreeMap<&'static str, f64>,
    /// By what they carry out themselves; the most expensive first.
    pub(crate) functions: Vec<Function>,
    /// Who allocates; the most frequent first.
    pub(crate) allocators: Vec<(String, f64)>,
    /// Who has header maps and URIs worked on: instructions, with all that takes; the most expensive first.
    pub(crate) headers: Vec<(String, f64)>,
    /// Who reads a clock; the most frequent first.
    pub(crate) clocks: Vec<(String, f64)>,
    /// Files by what they carry out themselves.
    pub(crate) modules: Vec<(String, f64)>,
    /// Stages, with all that they call.
    pub(crate) stages: Vec<(&'static str, f64)>,
}

/// A function as it stands in the source, wherever it was inlined.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Function {
    /// Its file and its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) owner: &'static str,
    /// Instructions it carries out itself.
    pub(crate) own: f64,
    /// Who calls it, where that matters: of the standard library and of the system's. With calls, and instructions
    /// until they return.
    pub(crate) callers: Vec<(String, f64, f64)>,
}

/// A stage is the code of some files, and what it calls.
const STAGES: &[(&str, &[&str])] = &[
    ("decide", &["policy/src/decide"]),
    ("route", &["policy/src/route"]),
    ("pick", &["policy/src/endpoint"]),
    ("authorize", &["policy/src/authorize"]),
    ("facts: head and authority", &["proxy/src/message", "policy/src/canonical"]),
    ("learned: breakers, latencies", &["proxy/src/learned", "policy/src/breaker", "proxy/src/shared"]),
    ("observe: metrics, log, trace", &["proxy/src/observe", "proxy/src/telemetry"]),
    ("upstream: pool and attempt", &["proxy/src/upstream"]),
];

impl Split {
    /// Splits it over `requests`; `program` is what ran.
    ///
    /// # Errors
    /// If the program has no debug information that can be read.
    pub(crate) fn new(dump: &Dump, program: &Path, requests: usize) -> anyhow::Result<Self> {
        let mut atlas = Atlas::new(dump, program)?;
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let each = |count: u64| count as f64 / requests as f64;
        let (mut owners, mut functions) = (HashMap::<_, u64>::new(), HashMap::<_, u64>::new());
        let (mut modules, mut with_tools) = (HashMap::<String, u64>::new(), HashMap::<_, u64>::new());
        let mut headers = HashMap::<String, u64>::new();
        let mut stages = [0_u64; STAGES.len()];
        for (place, count) in &dump.instructions {
            let known = atlas.know(*place);
            *owners.entry(known.owner).or_default() += count;
            if !owner::works_for_its_caller(known.owner, &known.name) {
                *with_tools.entry(known.owner).or_default() += count;
            }
            *functions.entry((known.name.clone(), known.owner)).or_default() += count;
            *modules.entry(known.module.clone()).or_default() += count;
            if let ("http", Some(client)) = (known.owner, &known.client) {
                *headers.entry(client.clone()).or_default() += count;
            }
            for stage in &known.stages {
                stages[*stage] += count;
            }
        }
        let mut allocators = HashMap::<String, u64>::new();
        let mut callers = HashMap::<String, HashMap<String, (u64, u64)>>::new();
        let mut clocks = HashMap::<String, u64>::new();
        let mut allocations = 0;
        for call in &dump.calls {
            let to = atlas.know(call.to).clone();
            let from = atlas.know(call.from);
            let is_memory = matches!(to.owner, "malloc" | "memcpy");
            let is_tool = owner::works_for_its_caller(to.owner, &to.name);
            if is_tool && !owner::works_for_its_caller(from.owner, &from.name) {
                *with_tools.entry(from.owner).or_default() += call.instructions;
            }
            let callee = dump.functions.get(call.to.function).map_or("", |name| name.as_str());
            if is_allocation(callee) && !matches!(from.owner, "malloc" | "memcpy") {
                allocations += call.times;
                *allocators.entry(from.name.clone()).or_default() += call.times;
            }
            if is_memory || matches!(to.owner, "std" | "libc" | "bytes" | "other") {
                let caller =
                    callers.entry(to.name.clone()).or_default().entry(from.name.clone()).or_default();
                caller.0 += call.times;
                caller.1 += call.instructions;
            }
            let enters = to.owner == "http" && to.client.is_none() || is_memory && from.owner == "http";
            if let (true, Some(client)) = (enters, &from.client) {
                *headers.entry(client.clone()).or_default() += call.instructions;
            }
            if owner::is_clock(&to.name) && (from.asks.is_some() || !owner::is_clock(&from.name)) {
                *clocks.entry(from.asks.clone().unwrap_or_else(|| from.name.clone())).or_default() +=
                    call.times;
            }
            for stage in from.stages.difference(&to.stages) {
                stages[*stage] += call.instructions;
            }
        }
        let mut system_calls = HashMap::<_, u64>::new();
        for (place, count) in &dump.system_calls {
            *system_calls.entry(atlas.know(*place).name.clone()).or_default() += count;
        }
        let ranked = |all: HashMap<String, u64>| {
            let mut all: Vec<_> = all.into_iter().map(|(name, count)| (name, each(count))).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            all
        };
        let mut functions: Vec<_> = functions
            .into_iter()
            .map(|((name, owner), own)| {
                let mut of: Vec<_> = callers
                    .remove(&name)
                    .into_iter()
                    .flatten()
                    .map(|(caller, (times, instructions))| (caller, each(times), each(instructions)))
                    .collect();
                of.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
                Function { name, owner, own: each(own), callers: of }
            })
            .collect();
        functions.sort_by(|a, b| b.own.total_cmp(&a.own).then_with(|| a.name.cmp(&b.name)));
        Ok(Self {
            total: each(dump.instructions.values().sum()),
            system_calls: ranked(system_calls),
            allocations: each(allocations),
            owners: owners.into_iter().map(|(owner, count)| (owner, each(count))).collect(),
            with_tools: with_tools.into_iter().map(|(owner, count)| (owner, each(count))).collect(),
            functions,
            allocators: ranked(allocators),
            headers: ranked(headers),
            clocks: ranked(clocks),
            modules: ranked(modules),
            stages: STAGES.iter().zip(stages).map(|((name, _), count)| (*name, each(count))).collect(),
        })
    }
}

/// By the symbol: of the system's allocator, of mimalloc's, or of what stands before either.
fn is_allocation(symbol: &str) -> bool {
    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"]
        .contains(&symbol.trim_start_matches('_'))
        || symbol.starts_with("mi_") && symbol.contains("alloc")
        || symbol.contains("__rust_alloc")
        || symbol.contains("__rust_realloc")
}

/// What is known of a place.
#[derive(Clone, Debug)]
struct Known {
    owner: &'static str,
    name: String,
    module: String,
    /// Where a clock is read here: who wants to know.
    asks: Option<String>,
    /// Who it is done for, if it is work on header maps.
    client: Option<String>,
    stages: HashSet<usize>,
}

/// Looks places up, each once.
struct Atlas<'d> {
    dump: &'d Dump,
    loader: Loader,
    /// Index of the program among the objects.
    program: Option<usize>,
    known: HashMap<Place, Known>,
}

impl<'d> Atlas<'d> {
    fn new(dump: &'d Dump, program: &Path) -> anyhow::Result<Self> {
        let loader = Loader::new(program)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("no debug information in {}", program.display()))?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let program = dump.objects.iter().position(|object| object.ends_with(&name));
        Ok(Self { dump, loader, program, known: HashMap::new() })
    }

    fn know(&mut self, place: Place) -> &Known {
        if !self.known.contains_key(&place) {
            let known = self.look_up(place);
            self.known.insert(place, known);
        }
        self.known.get(&place).expect("it has just been put there")
    }

    fn look_up(&self, place: Place) -> Known {
        let symbol = self.dump.functions.get(place.function).map_or("", |name| name.as_str());
        if Some(place.object) != self.program {
            let owner = owner::of_library(symbol);
            return Known {
                owner,
                name: symbol.to_owned(),
                module: owner.to_owned(),
                asks: None,
                client: None,
                stages: HashSet::new(),
            };
        }
        let frames = self.frames(place.address);
        let owner = owner::of_frames(&frames, symbol);
        let charged = owner::charged(&frames);
        let module = charged.and_then(|frame| owner::module(&frame.file));
        let outermost = frames.len() == 1 || charged.is_none();
        let name = match charged {
            Some(frame) if !outermost || symbol.is_empty() => owner::plain(&frame.function),
            _ => owner::plain(symbol),
        };
        let name = module.as_ref().map_or_else(|| name.clone(), |module| format!("{module} {name}"));
        let module = module.unwrap_or_else(|| owner.to_owned());
        let stages = STAGES.iter().enumerate().filter(|(_, (_, files))| {
            frames
                .iter()
                .filter_map(|frame| owner::ours(&frame.file))
                .any(|file| files.iter().any(|start| file.starts_with(start)))
        });
        let told = |frame: &Frame| {
            Some(format!("{} {}", owner::module(&frame.file)?, owner::plain(&frame.function)))
        };
        let asks = owner::asker(&frames).and_then(told);
        let client = owner::client(&frames).and_then(told);
        Known { owner, name, module, asks, client, stages: stages.map(|(at, _)| at).collect() }
    }

    fn frames(&self, address: u64) -> Vec<Frame> {
        let mut found = Vec::new();
        let Ok(mut frames) = self.loader.find_frames(address) else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let file = frame.location.as_ref().and_then(|location| location.file);
            found.push(Frame {
                function: function.map(|name| name.into_owned()).unwrap_or_default(),
                file: file.unwrap_or_default().to_owned(),
            });
        }
        found
    }
}
