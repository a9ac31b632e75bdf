//! The small forms that values of a case take: sizes, signals, users.

use serde::{Deserialize, Deserializer, de};

/// A number of bytes: a number, or one with `KiB`, `MiB` or `GiB` behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A signal, by its name or its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub u32);

/// `uid` or `uid:gid`; without a gid it is the uid's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A number or a text, as many values may be either.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a text")]
enum Either {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Either::deserialize(from)? {
            Either::Number(bytes) => Ok(Self(bytes)),
            Either::Text(text) => {
                let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let shift = match unit {
                    "KiB" => 10,
                    "MiB" => 20,
                    "GiB" => 30,
                    _ => return Err(de::Error::custom(format!("{text:?} is no size: write it as 64MiB"))),
                };
                let number: u64 = number.parse().map_err(|_| de::Error::custom(format!("{text:?} is no size")))?;
                Ok(Self(number << shift))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Either::deserialize(from)? {
            // Any number: whether it is a signal's is for the runtime to say.
            Either::Number(number) => {
                u32::try_from(number).map(Self).map_err(|_| de::Error::custom(format!("{number} is no signal")))
            }
            Either::Text(name) => match name.parse::<nix::sys::signal::Signal>() {
                Ok(signal) => Ok(Self((signal as i32).cast_unsigned())),
                Err(_) => Err(de::Error::custom(format!("{name:?} is no signal: write it as SIGTERM"))),
            },
        }
    }
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let (uid, gid) = text.split_once(':').unwrap_or((&text, &text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(Self { uid, gid }),
            _ => Err(de::Error::custom(format!("{text:?} is no user: write it as 1000:1000"))),
        }
    }
}
