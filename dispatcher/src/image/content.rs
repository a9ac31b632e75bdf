//! Content as it must be: not too large, and what its digest says.

use std::io::{self, Read, Take};

use oci_spec::image::Descriptor;
use sha2::{Digest as _, Sha256};

use super::Problem;

/// What holds content by digest.
pub(super) trait Store {
    /// What it is, for messages: `containerd's content store`.
    fn place(&self) -> String;

    /// The content of this digest from its beginning, none where there is none.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn open(&self, digest: &str) -> Result<Option<Box<dyn Read + '_>>, String>;
}

/// Reads what `descriptor` describes, and checks that it is that.
pub(super) fn read(
    store: &impl Store,
    what: &'static str,
    descriptor: &Descriptor,
    most: u64,
) -> Result<Vec<u8>, Problem> {
    let len = descriptor.size();
    if len > most {
        return Err(Problem::TooLarge { what, digest: descriptor.digest().to_string(), len, most });
    }
    let mut content = open(store, what, descriptor)?;
    let mut bytes = Vec::with_capacity(len as usize);
    content.read_to_end(&mut bytes).map_err(|error| content.unreadable(&error))?;
    content.check()?;
    Ok(bytes)
}

/// Opens what `descriptor` describes, to be read to its end and [checked](Content::check) then.
pub(super) fn open<'a>(
    store: &'a impl Store,
    what: &'static str,
    descriptor: &Descriptor,
) -> Result<Content<'a>, Problem> {
    let digest = descriptor.digest().to_string();
    let Some(expected) = descriptor.as_digest_sha256() else { return Err(Problem::Algorithm { what, digest }) };
    let (place, len) = (store.place(), descriptor.size());
    match store.open(&digest) {
        // One byte more than it should have says that it is too long, and no further one does.
        Ok(Some(reader)) => {
            let reader = reader.take(len.saturating_add(1));
            Ok(Content {
                reader,
                hasher: Sha256::new(),
                read: 0,
                len,
                expected: expected.to_owned(),
                what,
                digest,
                place,
            })
        }
        Ok(None) => Err(Problem::Missing { what, digest, place }),
        Err(reason) => Err(Problem::Unreadable { what, digest, place, reason }),
    }
}

/// Content that is read, of which nothing is to be believed before all of it was.
pub(super) struct Content<'a> {
    reader: Take<Box<dyn Read + 'a>>,
    hasher: Sha256,
    read: u64,
    len: u64,
    expected: String,
    what: &'static str,
    digest: String,
    place: String,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

impl Content<'_> {
    /// The problem that it can't be read.
    pub(super) fn unreadable(&self, error: &io::Error) -> Problem {
        let (digest, place) = (self.digest.clone(), self.place.clone());
        Problem::Unreadable { what: self.what, digest, place, reason: error.to_string() }
    }

    /// Reads what is left, and says whether it was what the digest means.
    pub(super) fn check(&mut self) -> Result<(), Problem> {
        io::copy(self, &mut io::sink()).map_err(|error| self.unreadable(&error))?;
        let damaged = |found| Problem::Damaged { what: self.what, digest: self.digest.clone(), found };
        if self.read != self.len {
            let more = if self.read > self.len { " or more" } else { "" };
            return Err(damaged(format!("it should have {} bytes and has {}{more}", self.len, self.read)));
        }
        let found = hex::encode(self.hasher.clone().finalize());
        if found != self.expected {
            return Err(damaged(format!("its bytes are those of sha256:{found}")));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use oci_spec::image::{Digest, MediaType};

    use super::*;

    /// Content in memory, which may be wrong.
    #[derive(Default)]
    pub(crate) struct Memory(HashMap<String, Vec<u8>>);

    impl Store for Memory {
        fn place(&self) -> String {
            "memory".to_owned()
        }

        fn open(&self, digest: &str) -> Result<Option<Box<dyn Read + '_>>, String> {
            Ok(self.0.get(digest).map(|bytes| Box::new(bytes.as_slice()) as Box<dyn Read>))
        }
    }

    impl Memory {
        pub(crate) fn add(&mut self, media_type: &str, bytes: impl AsRef<[u8]>) -> Descriptor {
            let bytes = bytes.as_ref();
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
            self.0.insert(digest.clone(), bytes.to_vec());
            let digest = Digest::try_from(digest).unwrap();
            Descriptor::new(MediaType::from(media_type), bytes.len() as u64, digest)
        }

        pub(crate) fn remove(&mut self, descriptor: &Descriptor) {
            self.0.remove(descriptor.digest().as_ref());
        }

        fn change(&mut self, descriptor: &Descriptor, bytes: &[u8]) {
            self.0.insert(descriptor.digest().to_string(), bytes.to_vec());
        }
    }

    #[test]
    fn only_the_bytes_that_are_meant_are_taken() {
        let mut store = Memory::default();
        let descriptor = store.add("application/wasm", b"module");
        assert_eq!(read(&store, "layer", &descriptor, 6).unwrap(), b"module");
        let large = read(&store, "layer", &descriptor, 5).unwrap_err();
        assert!(matches!(large, Problem::TooLarge { len: 6, most: 5, .. }), "{large}");
        for (other, says) in [
            (&b"modulE"[..], "are those of sha256:"),
            (b"module and more", "should have 6 bytes and has 7 or more"),
            (b"mod", "should have 6 bytes and has 3;"),
        ] {
            store.change(&descriptor, other);
            let damaged = read(&store, "layer", &descriptor, 6).unwrap_err().to_string();
            assert!(damaged.contains(says) && damaged.contains(descriptor.digest().as_ref()), "{damaged}");
        }
        store.remove(&descriptor);
        let missing = read(&store, "layer", &descriptor, 6).unwrap_err();
        assert!(matches!(missing, Problem::Missing { what: "layer", .. }), "{missing}");
    }

    #[test]
    fn digests_of_other_kinds_are_not_taken_on_trust() {
        let digest = Digest::try_from(format!("sha512:{}", "0".repeat(128))).unwrap();
        let descriptor = Descriptor::new(MediaType::from("application/wasm"), 1, digest);
        let error = read(&Memory::default(), "layer", &descriptor, 6).unwrap_err();
        assert!(matches!(error, Problem::Algorithm { .. }), "{error}");
    }
}
