//! Keeps a module's start function from running before its container is started.
//!
//! WebAssembly runs the function of the start section while a module is instantiated, and that happens before the
//! container's creation is answered: an endless loop there could not even be killed. So the section is taken out and its
//! function exported under a name of ours, which `run` calls first. The order that the guest sees stays the same, as a
//! start function is the last step of an instantiation.

use std::borrow::Cow;

/// The export that stands for the start section.
pub const EXPORT: &str = "multiwasm:start";

const HEADER: usize = 8;
const EXPORT_SECTION: u8 = 7;
const START_SECTION: u8 = 8;
/// The kind of an export that is a function.
const FUNCTION: u8 = 0;

/// `wasm` with its start section, if it has one, turned into an export. `wasm` is a core module with a checked header;
/// none if it ends within a section. What else may be wrong with it is left for the engine to say.
pub fn deferred(wasm: &[u8]) -> Option<Cow<'_, [u8]>> {
    let sections = sections(wasm)?;
    let Some(start) = sections.iter().find(|section| section.id == START_SECTION) else {
        return Some(Cow::Borrowed(wasm));
    };
    let exports = sections.iter().find(|section| section.id == EXPORT_SECTION);
    let Some((count, old)) = exports.map_or(Some((0, &[][..])), |section| number(section.content)) else {
        return Some(Cow::Borrowed(wasm));
    };
    let mut content = Vec::new();
    push_number(&mut content, count.saturating_add(1));
    content.extend_from_slice(old);
    push_number(&mut content, EXPORT.len() as u32);
    content.extend_from_slice(EXPORT.as_bytes());
    content.push(FUNCTION);
    // The start section is the function's index and nothing else, in the encoding that an export has it in.
    content.extend_from_slice(start.content);

    let mut changed = wasm[..HEADER].to_vec();
    for section in &sections {
        match section.id {
            EXPORT_SECTION => {}
            // Its place is right behind that of the exports, so they fit here whether there were any or not.
            START_SECTION => {
                changed.push(EXPORT_SECTION);
                push_number(&mut changed, content.len() as u32);
                changed.extend_from_slice(&content);
            }
            _ => changed.extend_from_slice(section.whole),
        }
    }
    Some(Cow::Owned(changed))
}

struct Section<'a> {
    id: u8,
    content: &'a [u8],
    /// Id, length and content.
    whole: &'a [u8],
}

/// The sections of a module in their order; none if it ends within one.
fn sections(wasm: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    let mut rest = wasm.get(HEADER..)?;
    while let Some((id, behind)) = rest.split_first() {
        let (len, behind) = number(behind)?;
        let (content, next) = behind.split_at_checked(len as usize)?;
        sections.push(Section { id: *id, content, whole: &rest[..rest.len() - next.len()] });
        rest = next;
    }
    Some(sections)
}

/// Reads a number of at most 32 bits in LEB128; gives it and what follows.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u32;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn push_number(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"\x01\x04\x01\x60\x00\x00"; // one type, () -> ()
    const FUNCTION_SECTION: &[u8] = b"\x03\x02\x01\x00"; // one function of it
    const EXPORTS: &[u8] = b"\x07\x08\x01\x04main\x00\x00"; // exported as "main"
    const START: &[u8] = b"\x08\x01\x00"; // and run at the start
    const CODE: &[u8] = b"\x0a\x04\x01\x02\x00\x0b"; // it does nothing

    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat()
    }

    #[test]
    fn module_without_start_is_left_alone() {
        let wasm = module(&[TYPE, FUNCTION_SECTION, EXPORTS, CODE]);
        assert!(matches!(deferred(&wasm), Some(Cow::Borrowed(same)) if same == wasm));
    }

    #[test]
    fn start_joins_the_exports() {
        let wasm = module(&[TYPE, FUNCTION_SECTION, EXPORTS, START, CODE]);
        let exports = b"\x07\x1a\x02\x04main\x00\x00\x0fmultiwasm:start\x00\x00";
        assert_eq!(deferred(&wasm).unwrap(), module(&[TYPE, FUNCTION_SECTION, exports, CODE]));
    }

    #[test]
    fn start_alone_becomes_the_exports() {
        let wasm = module(&[TYPE, FUNCTION_SECTION, START, CODE]);
        let exports = b"\x07\x13\x01\x0fmultiwasm:start\x00\x00";
        assert_eq!(deferred(&wasm).unwrap(), module(&[TYPE, FUNCTION_SECTION, exports, CODE]));
    }

    #[test]
    fn long_sections_keep_their_length() {
        // An export's name of 200 bytes makes both its own and the section's length two bytes long.
        let name = [b'x'; 200];
        let exports = [b"\x07\xcd\x01\x01\xc8\x01", name.as_slice(), b"\x00\x00"].concat();
        let wasm = module(&[TYPE, FUNCTION_SECTION, &exports, START, CODE]);
        let joined = [b"\x07\xdf\x01\x02\xc8\x01", name.as_slice(), b"\x00\x00\x0fmultiwasm:start\x00\x00"].concat();
        assert_eq!(deferred(&wasm).unwrap(), module(&[TYPE, FUNCTION_SECTION, &joined, CODE]));
    }

    #[test]
    fn torn_module_is_told() {
        let whole = module(&[TYPE, FUNCTION_SECTION, START, CODE]);
        assert!(deferred(&whole[..whole.len() - 1]).is_none());
        assert!(deferred(&[whole.as_slice(), b"\x00"].concat()).is_none());
        assert!(deferred(&[whole.as_slice(), b"\x00\xff\xff\xff\xff\xff\x01"].concat()).is_none());
    }
}
