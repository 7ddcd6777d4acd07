//! The architectures that the kernel of a machine runs programs of, and their calls' numbers.
use oci_spec::runtime::Arch;
use syscalls::{aarch64, arm, loongarch64, powerpc64, riscv64, s390x, x86, x86_64};

/// An architecture as audit tells it; the numbers are the kernel's (linux/audit.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Architecture {
    X86_64 = 0xc000_003e,
    I386 = 0x4000_0003,
    Aarch64 = 0xc000_00b7,
    Arm = 0x4000_0028,
    Powerpc64le = 0xc000_0015,
    Riscv64 = 0xc000_00f3,
    S390x = 0x8000_0016,
    Loongarch64 = 0xc000_0102,
}

impl Architecture {
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Architecture = Architecture::X86_64;
    #[cfg(target_arch = "x86")]
    pub(super) const NATIVE: Architecture = Architecture::I386;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Architecture = Architecture::Aarch64;
    #[cfg(target_arch = "arm")]
    pub(super) const NATIVE: Architecture = Architecture::Arm;
    #[cfg(target_arch = "powerpc64")]
    pub(super) const NATIVE: Architecture = Architecture::Powerpc64le;
    #[cfg(target_arch = "riscv64")]
    pub(super) const NATIVE: Architecture = Architecture::Riscv64;
    #[cfg(target_arch = "s390x")]
    pub(super) const NATIVE: Architecture = Architecture::S390x;
    #[cfg(target_arch = "loongarch64")]
    pub(super) const NATIVE: Architecture = Architecture::Loongarch64;

    /// What specs name; `None` for what Debian does not run on, or big-endian kernels only do.
    pub(super) fn of(arch: Arch) -> Option<Architecture> {
        Some(match arch {
            Arch::ScmpArchNative => Architecture::NATIVE,
            Arch::ScmpArchX86_64 => Architecture::X86_64,
            Arch::ScmpArchX86 => Architecture::I386,
            Arch::ScmpArchAarch64 => Architecture::Aarch64,
            Arch::ScmpArchArm => Architecture::Arm,
            Arch::ScmpArchPpc64le => Architecture::Powerpc64le,
            Arch::ScmpArchRiscv64 => Architecture::Riscv64,
            Arch::ScmpArchS390x => Architecture::S390x,
            Arch::ScmpArchLoongarch64 => Architecture::Loongarch64,
            _ => return None,
        })
    }

    /// All that a kernel of this machine runs, as specs name them.
    pub(super) const fn of_machine() -> &'static [Arch] {
        match Architecture::NATIVE {
            Architecture::X86_64 | Architecture::I386 => {
                &[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
            }
            Architecture::Aarch64 | Architecture::Arm => {
                &[Arch::ScmpArchAarch64, Arch::ScmpArchArm]
            }
            Architecture::Powerpc64le
            | Architecture::Riscv64
            | Architecture::S390x
            | Architecture::Loongarch64 => &[Arch::ScmpArchNative],
        }
    }

    /// Number of a call; `None` where the architecture has no such call.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Architecture::X86_64 => name.parse().map(|call: x86_64::Sysno| call.id()),
            Architecture::I386 => name.parse().map(|call: x86::Sysno| call.id()),
            Architecture::Aarch64 => name.parse().map(|call: aarch64::Sysno| call.id()),
            Architecture::Arm => name.parse().map(|call: arm::Sysno| call.id()),
            Architecture::Powerpc64le => name.parse().map(|call: powerpc64::Sysno| call.id()),
            Architecture::Riscv64 => name.parse().map(|call: riscv64::Sysno| call.id()),
            Architecture::S390x => name.parse().map(|call: s390x::Sysno| call.id()),
            Architecture::Loongarch64 => name.parse().map(|call: loongarch64::Sysno| call.id()),
        };
        number.ok().and_then(|number| u32::try_from(number).ok())
    }
}
