//! Content as it must be: not too large, and what its digest says.

use oci_spec::image::Descriptor;
use sha2::{Digest as _, Sha256};

use super::Problem;

/// What holds content by digest.
pub(super) trait Store {
    /// The content of this digest, none where there is none; `most` bytes of it and one more at most are of interest.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn read(&self, digest: &str, most: u64) -> Result<Option<Vec<u8>>, String>;
}

/// Reads what `descriptor` describes, and checks that it is that.
pub(super) fn read(
    store: &impl Store,
    what: &'static str,
    descriptor: &Descriptor,
    most: u64,
) -> Result<Vec<u8>, Problem> {
    let digest = descriptor.digest().to_string();
    let Some(expected) = descriptor.as_digest_sha256() else { return Err(Problem::Algorithm { what, digest }) };
    let len = descriptor.size();
    if len > most {
        return Err(Problem::TooLarge { what, digest, len, most });
    }
    let bytes = match store.read(&digest, len) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(Problem::Missing { what, digest }),
        Err(reason) => return Err(Problem::Unreadable { what, digest, reason }),
    };
    if bytes.len() as u64 != len {
        let more = if bytes.len() as u64 > len { " or more" } else { "" };
        let found = format!("it should have {len} bytes and has {}{more}", bytes.len());
        return Err(Problem::Damaged { what, digest, found });
    }
    let found = hex::encode(Sha256::digest(&bytes));
    if found != expected {
        return Err(Problem::Damaged { what, digest, found: format!("its bytes are those of sha256:{found}") });
    }
    Ok(bytes)
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
        fn read(&self, digest: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.get(digest).map(|bytes| bytes[..bytes.len().min(most as usize + 1)].to_vec()))
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
