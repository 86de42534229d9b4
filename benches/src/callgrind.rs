//! What callgrind wrote down: instructions by address, and calls by the address that makes them.
//!
//! Only what `--dump-instr=yes --compress-pos=no` writes is read. Lines of code are ignored: an address says more, for
//! the debug information knows every function that was inlined there, and callgrind only the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};

/// One dump.
#[derive(Debug, Default)]
pub struct Dump {
    /// Programs and libraries.
    pub objects: Vec<String>,
    /// Functions as the symbol table names them.
    pub functions: Vec<String>,
    /// Instructions carried out, by place.
    pub instructions: HashMap<Place, u64>,
    /// Calls made from a place.
    pub calls: Vec<Call>,
    /// System calls made at a place.
    pub system_calls: HashMap<Place, u64>,
}

/// An instruction: where it is, and in which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index into `objects`.
    pub object: usize,
    /// Index into `functions`.
    pub function: usize,
    /// Address as the object's own tables count it.
    pub address: u64,
}

/// All calls from one place to one function.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Who calls.
    pub from: Place,
    /// Who is called.
    pub to: Place,
    /// How often.
    pub times: u64,
    /// Instructions carried out until they returned.
    pub instructions: u64,
}

impl Dump {
    /// Reads one.
    ///
    /// # Errors
    /// If it cannot be read, or is not written as we ask callgrind to.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(BufReader::with_capacity(1 << 20, file))
            .with_context(|| format!("{} is not as callgrind writes it", path.display()))
    }

    /// The same from anything.
    ///
    /// # Errors
    /// The first line that says nothing.
    pub fn parse(lines: impl BufRead) -> anyhow::Result<Self> {
        let mut reader = Reader::default();
        for (at, line) in lines.lines().enumerate() {
            let line = line.context("cannot read on")?;
            reader.line(&line).with_context(|| format!("line {}: {line}", at + 1))?;
        }
        Ok(reader.dump())
    }
}

/// Names are written once, `(7) name`, and are `(7)` from then on.
#[derive(Debug, Default)]
struct Names {
    all: Vec<String>,
    by_number: HashMap<u64, usize>,
}

impl Names {
    fn index(&mut self, said: &str) -> anyhow::Result<usize> {
        let (number, name) =
            said.strip_prefix('(').and_then(|said| said.split_once(')')).context("no number")?;
        let number = number.parse().context("no number")?;
        if let Some(index) = self.by_number.get(&number) {
            return Ok(*index);
        }
        self.all.push(name.trim_start().to_owned());
        self.by_number.insert(number, self.all.len() - 1);
        Ok(self.all.len() - 1)
    }
}

#[derive(Debug, Default)]
struct Reader {
    objects: Names,
    functions: Names,
    instructions: HashMap<Place, u64>,
    calls: HashMap<(Place, Place), (u64, u64)>,
    system_calls: HashMap<Place, u64>,
    /// Columns of instructions and of system calls, counted behind the position.
    columns: [Option<usize>; 2],
    object: usize,
    function: usize,
    callee_object: Option<usize>,
    callee: usize,
    /// The next line tells what this call has cost.
    pending: Option<(Place, u64)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with("0x") {
            return self.cost(line);
        }
        let Some((key, said)) = line.split_once(['=', ':']) else { return Ok(()) };
        match key {
            "positions" if said.trim() != "instr line" => bail!("without addresses"),
            "events" => {
                let column = |name: &str| said.split_whitespace().position(|event| event == name);
                self.columns = [column("Ir"), column("sysCount")];
            }
            "ob" => self.object = self.objects.index(said)?,
            "cob" => self.callee_object = Some(self.objects.index(said)?),
            "fn" => self.function = self.functions.index(said)?,
            "cfn" => self.callee = self.functions.index(said)?,
            "calls" => {
                let mut words = said.split_whitespace();
                let times = words.next().and_then(|times| times.parse().ok()).context("how often?")?;
                let address = words.next().and_then(address).context("to where?")?;
                let object = self.callee_object.take().unwrap_or(self.object);
                self.pending = Some((Place { object, function: self.callee, address }, times));
            }
            _ => {}
        }
        Ok(())
    }

    fn cost(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split_whitespace();
        let address = words.next().and_then(address).context("no address")?;
        let costs: Vec<u64> = words.skip(1).filter_map(|word| word.parse().ok()).collect();
        let [instructions, system_calls] =
            self.columns.map(|column| column.and_then(|at| costs.get(at).copied()).unwrap_or(0));
        let here = Place { object: self.object, function: self.function, address };
        match self.pending.take() {
            Some((callee, times)) => {
                let call = self.calls.entry((here, callee)).or_default();
                call.0 += times;
                call.1 += instructions;
            }
            None => {
                *self.instructions.entry(here).or_default() += instructions;
                if system_calls > 0 {
                    *self.system_calls.entry(here).or_default() += system_calls;
                }
            }
        }
        Ok(())
    }

    fn dump(self) -> Dump {
        let call = |((from, to), (times, instructions))| Call { from, to, times, instructions };
        Dump {
            objects: self.objects.all,
            functions: self.functions.all,
            instructions: self.instructions,
            calls: self.calls.into_iter().map(call).collect(),
            system_calls: self.system_calls,
        }
    }
}

fn address(said: &str) -> Option<u64> {
    u64::from_str_radix(said.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `main` at 0x10 calls `leaf` in a library twice.
    const SMALL: &str = "\
# callgrind format
version: 1
positions: instr line
events: Ir sysCount sysTime
ob=(1) /bin/small
fl=(1) small.rs
fn=(1) main
0x10 1 3
0x14 1 2 1 900
cob=(2) /lib/large
cfi=(2) large.rs
cfn=(2) leaf
calls=2 0x40 7
0x14 1 80
0x18 2 1
fn=(3) again
0x20 2 4
cfn=(1)
calls=1 0x10 1
0x24 2 86

ob=(2)
fl=(2)
fn=(2)
0x40 7 80
totals: 176
";

    #[test]
    fn a_cost_is_of_the_place_and_what_a_call_costs_is_not() {
        let dump = Dump::parse(SMALL.as_bytes()).unwrap();
        assert_eq!(dump.objects, ["/bin/small", "/lib/large"]);
        assert_eq!(dump.functions, ["main", "leaf", "again"]);
        assert_eq!(dump.instructions.values().sum::<u64>(), 3 + 2 + 1 + 4 + 80);
        assert_eq!(dump.instructions[&Place { object: 0, function: 0, address: 0x14 }], 2);
        assert_eq!(dump.system_calls.values().sum::<u64>(), 1);
    }

    #[test]
    fn a_call_knows_both_ends() {
        let dump = Dump::parse(SMALL.as_bytes()).unwrap();
        let mut calls: Vec<_> = dump
            .calls
            .iter()
            .map(|call| (call.from.address, call.to.object, call.to.function, call.times, call.instructions))
            .collect();
        calls.sort_unstable();
        assert_eq!(calls, [(0x14, 1, 1, 2, 80), (0x24, 0, 0, 1, 86)]);
    }

    #[test]
    fn a_dump_without_addresses_is_refused() {
        let refused = Dump::parse("positions: line\n".as_bytes()).unwrap_err();
        assert!(format!("{refused:#}").contains("without addresses"), "{refused:#}");
    }
}
