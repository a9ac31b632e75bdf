//! Redirects a function that one loaded object calls in another, by its entry in the caller's relocation table.

use std::ffi::{CStr, c_char, c_int, c_void};

/// Relocations that hold the plain address of a function: those of calls, and of pointers taken.
#[cfg(target_arch = "x86_64")]
const CALLS: [u32; 2] = [7, 6]; // R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT
#[cfg(target_arch = "aarch64")]
const CALLS: [u32; 2] = [1026, 1025]; // R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS: [u32; 0] = [];

// Tags of the dynamic section, from the ELF specification.
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_JMPREL: i64 = 23;

#[repr(C)]
struct Dynamic {
    tag: i64,
    value: u64,
}

#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// What is sought, and whether it was found.
struct Search<'a> {
    within: usize,
    symbol: &'a CStr,
    new: *const c_void,
    done: bool,
}

/// Lets the object that has the address `within` call `new` where it calls `symbol`; false where it calls no such
/// function through a table that is known here.
///
/// # Safety
/// `new` has the type of the function that `symbol` names, and the object's other expectations of it hold.
pub(crate) unsafe fn redirect(within: usize, symbol: &CStr, new: *const c_void) -> bool {
    let mut search = Search { within, symbol, new, done: false };
    // SAFETY: the callback is called during this call alone, with this search.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.done
}

unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: what `redirect` passed, and what the dynamic linker lends for the length of the call.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search<'_>>()) };
    // SAFETY: as above.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let base = info.dlpi_addr as usize;
    let holds = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        header.p_type == libc::PT_LOAD && (start..start + header.p_memsz as usize).contains(&search.within)
    };
    if !headers.iter().any(holds) {
        return 0;
    }
    if let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) {
        let section = base.wrapping_add(header.p_vaddr as usize) as *const Dynamic;
        // SAFETY: the dynamic section of a loaded object, at its base.
        search.done = unsafe { patch(base, section, search.symbol, search.new) };
    }
    1
}

/// # Safety
/// `section` is the dynamic section of an object that is loaded at `base`.
unsafe fn patch(base: usize, section: *const Dynamic, symbol: &CStr, new: *const c_void) -> bool {
    let entry = |tag| {
        // SAFETY: the section ends with a null tag.
        let mut entries = (0..).map(|index| unsafe { &*section.add(index) }).take_while(|entry| entry.tag != 0);
        entries.find(|entry| entry.tag == tag).map(|entry| entry.value as usize)
    };
    // The dynamic linker may have made addresses of the offsets.
    let address = |tag| entry(tag).map(|value| if value < base { base + value } else { value });
    let (Some(names), Some(symbols), Some(table), Some(size)) =
        (address(DT_STRTAB), address(DT_SYMTAB), address(DT_JMPREL), entry(DT_PLTRELSZ))
    else {
        return false;
    };
    // SAFETY: the table of calls, as the section describes it.
    let table = unsafe { std::slice::from_raw_parts(table as *const Relocation, size / size_of::<Relocation>()) };
    let sought = table.iter().find(|relocation| {
        let symbol_entry = symbols as *const libc::Elf64_Sym;
        // SAFETY: a relocation's symbol is in the symbol table, its name in the table of strings.
        let name = unsafe {
            let name = (*symbol_entry.add((relocation.info >> 32) as usize)).st_name as usize;
            CStr::from_ptr((names as *const c_char).add(name))
        };
        CALLS.contains(&(relocation.info as u32)) && name == symbol
    });
    // SAFETY: the entry that the relocation filled, a pointer to a function.
    sought.is_some_and(|relocation| unsafe { write((base + relocation.offset as usize) as *mut *const c_void, new) })
}

/// Writes an entry, whose page the dynamic linker may have made read-only.
///
/// # Safety
/// `entry` is an aligned pointer within a table of relocated addresses.
unsafe fn write(entry: *mut *const c_void, value: *const c_void) -> bool {
    // SAFETY: takes nothing from memory.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let start = (entry as usize & !(page - 1)) as *mut c_void;
    // SAFETY: the page of the entry, which stays readable all the while; it is read-only afterwards, as tables of an
    // object that is fully bound are, or else writable as before.
    unsafe {
        if libc::mprotect(start, page, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return false;
        }
        entry.write(value);
    }
    true
}
