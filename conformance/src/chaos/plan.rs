//! What a round does, all of it drawn from its seed, so that it can be done again.

use std::fmt;
use std::time::Duration;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The shim's server.
    Shim,
    /// The container's first process.
    Guest,
    /// containerd.
    Containerd,
    /// A process that does one piece of work for the shim.
    Worker,
    /// The process that forks containers.
    Spawner,
}

impl Victim {
    /// All, by their names.
    pub const ALL: [(&str, Self); 5] = [
        ("shim", Self::Shim),
        ("guest", Self::Guest),
        ("containerd", Self::Containerd),
        ("worker", Self::Worker),
        ("spawner", Self::Spawner),
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, victim)| *victim)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, victim)| victim == self).map_or("", |(name, _)| name))
    }
}

/// How a container lives, if it is let.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Ends by itself with this code.
    Short(u32),
    /// Runs until it is ended.
    Long,
    /// As long, and more processes come and go in it.
    Busy,
    /// Its module is compiled first, for longer than most live; then it ends with 7.
    Slow,
}

/// A container of a round.
#[derive(Debug, Clone, Copy)]
pub struct One {
    /// Its target.
    pub target: &'static str,
    /// Its life.
    pub life: Life,
}

/// A round.
#[derive(Debug, Clone)]
pub struct Round {
    /// By which it is told again.
    pub seed: u64,
    /// Its containers.
    pub containers: Vec<One>,
    /// What is killed, of the first container.
    pub victim: Victim,
    /// When, from the begin on.
    pub after: Duration,
}

impl Round {
    /// The round of a seed.
    pub fn of(seed: u64, victims: &[Victim]) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let victim = victims[numbers.below(victims.len() as u64) as usize];
        let count = 1 + numbers.below(3);
        let mut containers: Vec<_> = (0..count).map(|_| one(&mut numbers)).collect();
        if victim == Victim::Worker && numbers.below(2) == 0 {
            // Others have a worker for some milliseconds only.
            containers[0] =
                One { target: ["wasmtime", "wasmer", "wasmedge"][numbers.below(3) as usize], life: Life::Slow };
        }
        // Most of what happens, happens early: half of the kills fall into the first tenth of a second.
        let most = [100, 1000][numbers.below(2) as usize];
        let after = Duration::from_micros(numbers.below(most * 1000));
        Self { seed, containers, victim, after }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, kill {} after {:?} of", self.seed, self.victim, self.after)?;
        self.containers.iter().try_for_each(|one| write!(f, " {}:{:?}", one.target, one.life))
    }
}

fn one(numbers: &mut Numbers) -> One {
    let target = ["wasmtime", "wasmedge", "wasmer", "native"][numbers.below(4) as usize];
    let life = match numbers.below(8) {
        0 | 1 => Life::Short(numbers.below(128) as u32),
        2 if target != "native" => Life::Slow,
        3 | 4 => Life::Busy,
        _ => Life::Long,
    };
    One { target, life }
}

/// A sequence that is the same for a seed at every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_all() {
        let victims = Victim::ALL.map(|(_, victim)| victim);
        for seed in 0..100 {
            assert_eq!(Round::of(seed, &victims).to_string(), Round::of(seed, &victims).to_string());
        }
        for victim in victims {
            assert!((0..100).any(|seed| Round::of(seed, &victims).victim == victim), "{victim} is never drawn");
        }
    }
}
