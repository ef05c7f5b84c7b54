//! The requests of the demonstration: a council's ordinary day, with what goes wrong on it.

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// The council of the demonstration.
pub(super) const COUNCIL: &str = "harlow";

/// One request before its ticket exists.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The system that shows it in the table: the first of its route.
    pub(super) system: &'static str,
    /// The request document without its ticket.
    pub(super) document: Value,
    /// What is done with it besides being sent once.
    pub(super) twist: Twist,
}

/// What is done with a request besides being sent once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// Nothing.
    None,
    /// It is delivered twice.
    Twice,
    /// It lacks what every request must have, and is rejected.
    Invalid,
}

/// The endings a simulated system can be asked for, with how many in a hundred get them.
const ENDINGS: [(&str, u32); 5] =
    [("", 82), ("[declined]", 6), ("[no access]", 5), ("[follow on]", 4), ("[unknown]", 3)];

/// `count` requests over all services, the same for the same seed.
pub(super) fn requests(count: u32, seed: u64, now: Timestamp) -> Vec<Wanted> {
    let mut dice = StdRng::seed_from_u64(seed);
    (0..count).map(|number| wanted(number, &mut dice, now)).collect()
}

fn wanted(number: u32, dice: &mut StdRng, now: Timestamp) -> Wanted {
    let services: [(&str, &str, &str, Value); 12] = [
        (
            "waste.missed-bin",
            "waste",
            "Bin missed",
            json!({"container": *["refuse", "recycling", "food", "garden"].choose(dice).unwrap_or(&"refuse"), "out_before_7am": true}),
        ),
        (
            "waste.missed-bin",
            "waste",
            "Bin missed again",
            json!({"container": "refuse", "notes": "Second week running"}),
        ),
        (
            "waste.bulky",
            "waste",
            "Bulky collection",
            json!({"items": [{"item": "sofa", "quantity": 1}, {"item": "mattress", "quantity": 2}]}),
        ),
        (
            "waste.new-container",
            "waste",
            "New bin wanted",
            json!({"container": "recycling", "why": "damaged"}),
        ),
        (
            "housing.repair",
            "housing",
            "Kitchen tap leaking",
            json!({"property_reference": "00012345", "trade": "plumbing", "problem": "tap-leaking"}),
        ),
        (
            "housing.repair",
            "housing",
            "No heating",
            json!({"property_reference": "00023456", "trade": "gas", "problem": "boiler-no-heat"}),
        ),
        (
            "housing.damp-mould",
            "housing",
            "Mould in bedroom",
            json!({"property_reference": "00034567", "hazard": "significant", "rooms": ["bedroom"]}),
        ),
        (
            "housing.clearance",
            "housing",
            "Clear the empty flat",
            json!({"property_reference": "00045678", "items": [{"item": "bed", "quantity": 1}]}),
        ),
        (
            "revenues.change-of-address",
            "revenues",
            "Moving in",
            json!({"move": "in", "date": "2026-12-01", "people": [{"title": "Ms", "forename": "Ada", "surname": "Bell"}]}),
        ),
        (
            "revenues.single-person-discount",
            "revenues",
            "Lives alone now",
            json!({"account_reference": "81234567", "date": "2026-11-01"}),
        ),
        ("highways.street-light", "partner", "Lamp out", json!({"column": "LC12", "fault": "out"})),
        ("highways.pothole", "partner", "Pothole", json!({"size": "large"})),
    ];
    let (service, system, summary, details) =
        services.choose(dice).cloned().unwrap_or_else(|| services[0].clone());
    // Housing declines at the door; the others say later that they will not do the work.
    let ending = match (system, ending(dice)) {
        ("housing", "[declined]") => "[refused declined]",
        (_, ending) => ending,
    };
    let twist = match number % 40 {
        11 => Twist::Twice,
        23 => Twist::Invalid,
        _ => Twist::None,
    };
    let mut document = json!({
        "council": COUNCIL,
        "service": service,
        "channel": *["phone", "web", "partner"].choose(dice).unwrap_or(&"phone"),
        "priority": "routine",
        "raised_at": now.to_string(),
        "raised_by": "adviser-17",
        "summary": format!("{summary} {ending}").trim(),
        "customer": {"reference": format!("C-{number}"), "title": "Ms", "forename": "Jo", "surname": "Lamb",
                     "email": "jo.lamb@example.org", "phone": "01632 960001"},
        "location": {"uprn": format!("{}", 10_008_000_000_u64 + u64::from(number)),
                     "address": {"lines": [format!("{} Pitcairn House", number + 1)], "postcode": "CM20 1AA"},
                     "latitude": 51.77, "longitude": 0.09},
        "details": details,
    });
    if twist == Twist::Invalid {
        document["raised_at"] = json!("yesterday morning");
    }
    Wanted { system, document, twist }
}

fn ending(dice: &mut StdRng) -> &'static str {
    let mut drawn = dice.random_range(0..100);
    for (marker, share) in ENDINGS {
        if drawn < share {
            return marker;
        }
        drawn -= share;
    }
    ""
}
