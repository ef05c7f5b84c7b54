//! File descriptors: every connection, file and call takes one, and a process has only so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's limit of descriptors as far as it may be raised, and returns it.
pub(super) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(error = %error, ?current, "the limit of descriptors could not be raised");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// How many connections each listener may have, of those wanted, so that `reserved` descriptors are left for calls, the
/// database and files; of a small limit that is half of it. Each listener has some.
pub(super) fn shares(wanted: [usize; 2], limit: u64, reserved: usize) -> [usize; 2] {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let left = limit.saturating_sub(reserved.min(limit / 2));
    let [one, other] = wanted.map(|wanted| wanted.max(1));
    if one.saturating_add(other) <= left {
        return [one, other];
    }
    // In proportion, by division first: neither may overflow.
    let whole = one.saturating_add(other);
    let share = |wanted: usize| (left / whole * wanted + left % whole * wanted / whole).max(1);
    [share(one), share(other)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listeners_leave_a_reserve() {
        assert_eq!(shares([1024, 64], 20_000, 256), [1024, 64]);
        assert_eq!(shares([1024, 64], u64::MAX, 256), [1024, 64]);
        assert_eq!(shares([1024, 64], 1024, 256), [722, 45]);
        assert_eq!(shares([1024, 64], 256, 256), [120, 7]);
        assert_eq!(shares([1024, 64], 8, 256), [3, 1]);
        assert_eq!(shares([0, 0], 1024, 256), [1, 1]);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        let raised = raise();
        assert_eq!(Some(raised), getrlimit(Resource::Nofile).current.or(Some(u64::MAX)));
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
