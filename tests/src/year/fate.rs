//! What becomes of a request, drawn when it comes in.

use super::draw::Draw;

/// The services, as often as they are asked for.
pub(super) const SERVICES: &[(u64, &str)] = &[
    (300, "waste.missed-bin"),
    (90, "waste.bulky"),
    (60, "waste.new-container"),
    (20, "waste.assisted-collection"),
    (220, "housing.repair"),
    (30, "housing.damp-mould"),
    (10, "housing.clearance"),
    (110, "revenues.change-of-address"),
    (40, "revenues.single-person-discount"),
    (30, "revenues.benefit-change"),
    (40, "highways.street-light"),
    (35, "highways.pothole"),
    (10, "highways.abandoned-vehicle"),
    (5, "leisure.facility-fault"),
];
/// The councils that share this Dovetail.
pub(super) const COUNCILS: &[(u64, &str)] = &[(700, "harlow"), (200, "epping"), (100, "broxbourne")];
/// The ways in which requests come in.
pub(super) const CHANNELS: &[(u64, &str)] = &[(500, "phone"), (350, "web"), (100, "app"), (50, "counter")];
/// How soon things are asked for.
pub(super) const PRIORITIES: &[(u64, &str)] = &[(850, "routine"), (130, "urgent"), (20, "emergency")];

/// How a system takes an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Takes,
    /// It says that it is busy, so many times.
    Busy(u32),
    /// It has it, and we do not hear of it.
    Lost,
    /// It refuses in words that are known.
    Refuses,
    /// It refuses in words that nobody knows.
    Mumbles,
}

/// What a system says of a job, and after how many hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) said: &'static str,
    pub(super) after: u64,
    /// It is said twice.
    pub(super) twice: bool,
    /// The mapping knows it.
    pub(super) is_known: bool,
}

const HOUSING: &[(u64, &str)] =
    &[(880, "Completed"), (60, "No Access"), (30, "Completed with follow-on"), (30, "Superceded")];
const REVENUES: &[(u64, &str)] = &[(900, "Done"), (70, "Failed"), (30, "Duplicate")];
const WASTE: &[(u64, &str)] = &[
    (840, "Completed"),
    (80, "Not Out"),
    (30, "Contaminated"),
    (30, "Gate Locked"),
    (20, "Follow On Required"),
];
const PARTNER: &[(u64, &str)] =
    &[(850, "fixed"), (70, "no_further_action"), (40, "duplicate"), (40, "not_councils_responsibility")];

/// How a system takes the next order.
pub(super) fn answer(draw: &mut Draw) -> Answer {
    let busy = Answer::Busy(1 + u32::try_from(draw.below(4)).unwrap_or(0));
    *draw.of(&[
        (940, Answer::Takes),
        (25, busy),
        (15, Answer::Lost),
        (15, Answer::Refuses),
        (5, Answer::Mumbles),
    ])
}

/// What a system will say of a job that it has taken, in order; nothing at all where it never answers.
pub(super) fn words(system: &str, draw: &mut Draw) -> Vec<Word> {
    let (progress, ends, days): (_, &[(u64, &'static str)], _) = match system {
        "housing" => ("In Progress", HOUSING, 12),
        "revenues" => ("Accepted", REVENUES, 8),
        "waste" => ("In Progress", WASTE, 3),
        _ => ("investigating", PARTNER, 15),
    };
    if draw.happens(8) {
        return Vec::new();
    }
    // Most are done in the usual time, some take long, and a few take very long.
    let hours = 24 * days;
    let mut after = 2 + draw.below(hours);
    if draw.happens(80) {
        after += draw.below(hours * 4);
    }
    if draw.happens(4) {
        after += 24 * (20 + draw.below(60));
    }
    let mut words = Vec::new();
    if draw.happens(600) {
        words.push(Word { said: progress, after: draw.below(after), twice: false, is_known: true });
    }
    if draw.happens(6) {
        words.push(Word { said: "Zzz", after, twice: false, is_known: false });
        return words;
    }
    // News that was lost is found when the system is asked, a day or two later.
    if draw.happens(20) {
        after += 24 + draw.below(24);
    }
    words.push(Word { said: draw.of::<&'static str>(ends), after, twice: draw.happens(30), is_known: true });
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fate_is_drawn_and_the_same_seed_draws_the_same() {
        let mut draw = Draw::new(7);
        let answers: Vec<Answer> = (0..5_000).map(|_| answer(&mut draw)).collect();
        for kind in
            [Answer::Takes, Answer::Lost, Answer::Refuses, Answer::Mumbles, Answer::Busy(1), Answer::Busy(4)]
        {
            assert!(answers.contains(&kind), "{kind:?}");
        }
        let words = |seed| {
            let mut draw = Draw::new(seed);
            (0..5_000).map(|_| words("waste", &mut draw)).collect::<Vec<_>>()
        };
        assert_eq!(words(3), words(3));
        assert!(words(3).iter().any(Vec::is_empty));
        assert!(words(3).iter().flatten().any(|word| !word.is_known));
    }
}
