//! The processor in a few words: all that code compiled for it may depend on.

/// Identity and features of this processor, the same on each of its cores.
#[cfg(target_arch = "x86_64")]
pub(crate) fn describe() -> String {
    use std::arch::x86_64::{__cpuid, __cpuid_count, __get_cpuid_max};

    let (basic, _) = __get_cpuid_max(0);
    let (extended, _) = __get_cpuid_max(0x8000_0000);
    let mut words = Vec::new();
    if basic >= 1 {
        // ebx is left out: it has the number of the core.
        let leaf = __cpuid(1);
        words.extend([leaf.eax, leaf.ecx, leaf.edx]);
    }
    if basic >= 7 {
        let leaf = __cpuid_count(7, 0);
        words.extend([leaf.ebx, leaf.ecx, leaf.edx]);
        if leaf.eax >= 1 {
            let leaf = __cpuid_count(7, 1);
            words.extend([leaf.eax, leaf.edx]);
        }
    }
    if extended >= 0x8000_0001 {
        let leaf = __cpuid(0x8000_0001);
        words.extend([leaf.ecx, leaf.edx]);
    }
    let words: Vec<_> = words.iter().map(|word| format!("{word:x}")).collect();
    format!("x86_64 {}", words.join("."))
}

/// Features of this processor, as the kernel tells them.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn describe() -> String {
    // SAFETY: reads the vector that the kernel gave this process.
    let (first, second) = unsafe { (libc::getauxval(libc::AT_HWCAP), libc::getauxval(libc::AT_HWCAP2)) };
    format!("{} {first:x}.{second:x}", std::env::consts::ARCH)
}
