//! What tests have happen at the points that their thread comes to.
use std::cell::RefCell;
use std::io;
use std::path::Path;

type Hook = Box<dyn FnMut(&'static str, &Path) -> io::Result<()>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Takes the hook off, however the work ends.
struct Hooked;

impl Drop for Hooked {
    fn drop(&mut self) {
        HOOK.take();
    }
}

/// Has `hook` asked at each point of `work`; what the hook itself does has no points.
pub(crate) fn during<T>(
    hook: impl FnMut(&'static str, &Path) -> io::Result<()> + 'static,
    work: impl FnOnce() -> T,
) -> T {
    HOOK.set(Some(Box::new(hook)));
    let _hooked = Hooked;
    work()
}

pub(crate) fn point(action: &'static str, path: &Path) -> io::Result<()> {
    let Some(mut hook) = HOOK.take() else {
        return Ok(());
    };
    let answer = hook(action, path);
    HOOK.set(Some(hook));
    answer
}
