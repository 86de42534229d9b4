//! Inputs that are nearly right: what stands in the corpus, cut up, spliced, repeated and damaged.

/// Chance with a seed (splitmix64): the same seed gives the same inputs on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`; 0 if there is none.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_of<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        all.get(self.below(all.len()))
    }

    /// A range of `len` bytes, short ones more often than long ones.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let longest = (len - start).min([4, 16, 64, len][self.below(4)]);
        start..start + self.below(longest + 1)
    }
}

/// A new input: one of the corpus (or none) with one to eight changes.
pub(crate) fn mutate(corpus: &[Vec<u8>], chance: &mut Chance, longest: usize) -> Vec<u8> {
    let mut input = match chance.below(64) {
        0 => Vec::new(),
        _ => chance.one_of(corpus).cloned().unwrap_or_default(),
    };
    for _ in 0..=chance.below(8) {
        change(&mut input, corpus, chance);
        input.truncate(longest);
    }
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    match chance.below(12) {
        0 => with(input, at, |byte| *byte ^= 1 << chance.below(8)),
        1 => with(input, at, |byte| *byte = chance.byte()),
        2 => with(input, at, |byte| *byte = *chance.one_of(EDGES).unwrap_or(&0)),
        3 => with(input, at, |byte| *byte = byte.wrapping_add(if chance.below(2) == 0 { 1 } else { 255 })),
        4 => input.insert(at, chance.byte()),
        5 => input.insert(at, *chance.one_of(EDGES).unwrap_or(&0)),
        6 => drop(input.drain(chance.range(input.len()))),
        7 => input.truncate(at),
        8 => {
            // The same again, once or a few times: lists get a second entry, nesting another level.
            let part = input.get(chance.range(input.len())).unwrap_or_default().to_vec();
            let times = [1, 1, 2, 8, 100][chance.below(5)];
            let _: Vec<u8> = input.splice(at..at, part.repeat(times)).collect();
        }
        9 => {
            let other = chance.one_of(corpus).cloned().unwrap_or_default();
            let part = other.get(chance.range(other.len())).unwrap_or_default().to_vec();
            let _: Vec<u8> = input.splice(at..at, part).collect();
        }
        10 => {
            let other = chance.one_of(corpus).cloned().unwrap_or_default();
            input.truncate(at);
            input.extend_from_slice(other.get(chance.below(other.len() + 1)..).unwrap_or_default());
        }
        _ => {
            let part = input.get(chance.range(input.len())).unwrap_or_default().to_vec();
            let replaced = chance.range(input.len());
            let _: Vec<u8> = input.splice(replaced, part).collect();
        }
    }
}

fn with(input: &mut [u8], at: usize, change: impl FnOnce(&mut u8)) {
    if let Some(byte) = input.get_mut(at) {
        change(byte);
    }
}

/// Bytes at which parsers change their minds.
const EDGES: &[u8] = b"\0\x01\x7f\x80\xff\r\n \t:;,./\\%?#&=\"'{}[]()<>*-_+~^|@09azAZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_none_is_too_long() {
        let corpus = [b"GET / HTTP/1.1\r\n".to_vec(), vec![7; 300]];
        let inputs = |seed| {
            let mut chance = Chance::new(seed);
            (0..2000).map(|_| mutate(&corpus, &mut chance, 512)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(9).iter().all(|input| input.len() <= 512));
    }
}
