//! Which machine the processes of a chroot take the kernel for.
use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain, Spec};

/// Debian architectures whose CPUs have 32 bits (dpkg's cputable).
const WITH_32_BITS: [&str; 9] = [
    "armel", "armhf", "hppa", "i386", "m68k", "mips", "mipsel", "powerpc", "sh4",
];

/// Gives a session the personality of a Debian architecture, whatever its caller's is.
///
/// On a kernel of 64 bits, configure scripts of i386 then find an i686 (uname(2)).
pub fn set_personality(spec: &mut Spec, architecture: &str) {
    let domain = if WITH_32_BITS.contains(&architecture) {
        LinuxPersonalityDomain::PerLinux32
    } else {
        LinuxPersonalityDomain::PerLinux
    };
    let mut personality = LinuxPersonality::default();
    personality.set_domain(domain);
    let linux = spec.linux_mut().get_or_insert_default();
    linux.set_personality(Some(personality));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(architecture: &str) -> LinuxPersonalityDomain {
        let mut spec = Spec::default();
        set_personality(&mut spec, architecture);
        let linux = spec.linux().as_ref().unwrap();
        linux.personality().as_ref().unwrap().domain()
    }

    #[test]
    fn architectures_of_32_bits_see_a_machine_of_32_bits() {
        assert_eq!(domain("i386"), LinuxPersonalityDomain::PerLinux32);
        assert_eq!(domain("armhf"), LinuxPersonalityDomain::PerLinux32);
        assert_eq!(domain("amd64"), LinuxPersonalityDomain::PerLinux);
    }
}
