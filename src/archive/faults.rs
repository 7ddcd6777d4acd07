//! Faults at each point at which an installation changes the disk ([`crate::fault`]): the state is before or after,
//! nothing that was answered is lost, and the same again succeeds.
mod file_system;
mod full_disk;
mod ground;
mod killed;
mod power;
mod refused;

/// Which of so many points are tried: `few` of them, or all in the long run.
fn chosen(points: usize, few: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("MINI_BUILDD_TEST_LONG").is_some();
    let step = if all { 1 } else { points.div_ceil(few) };
    (1..=points).step_by(step)
}
