//! The requests: some 1 KB of CloudEvent each, drawn from a seed, known by their number.

use serde_json::json;

/// The formats that the stub speaks; each is a system of the load program's mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON in, JSON out.
    Json,
    /// XML both ways.
    Xml,
    /// SOAP 1.1 with WS-Security.
    Soap,
    /// A form in, XML out.
    Form,
}

impl Format {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Json, Self::Xml, Self::Soap, Self::Form];

    /// The name of its system.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Soap => "soap",
            Self::Form => "form",
        }
    }
}

/// The requests of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// What its tickets begin with; no other measurement has it.
    pub(crate) prefix: String,
    /// How many there are.
    pub(crate) count: usize,
    /// What their contents are drawn from.
    pub(crate) seed: u64,
    /// Their formats, in turn.
    pub(crate) formats: Vec<Format>,
}

impl Batch {
    /// The ticket of a number.
    pub(crate) fn ticket(&self, number: usize) -> String {
        format!("{}-{number:07}", self.prefix)
    }

    /// The number of a ticket, wherever it stands in a text; `None` where none of ours does.
    pub(crate) fn number_in(&self, text: &str) -> Option<usize> {
        let start = text.find(&self.prefix)? + self.prefix.len();
        let digits = text.get(start..start + 8)?.strip_prefix('-')?;
        digits.parse().ok().filter(|number| *number < self.count)
    }

    /// The format of a number.
    pub(crate) fn format(&self, number: usize) -> Format {
        self.formats[number % self.formats.len()]
    }

    /// The message of a number.
    pub(crate) fn event(&self, number: usize) -> Vec<u8> {
        const COUNCILS: [&str; 4] = ["harlow", "epping", "broxbourne", "uttlesford"];
        const NAMES: [&str; 6] = ["Lamb", "Okafor", "Smith", "Nowak", "Patel", "Ó Briain"];
        const STREETS: [&str; 5] =
            ["Pitcairn House", "Mill Lane", "Station Road", "The Stow", "Second Avenue"];
        let mut draw = Draw(self.seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let ticket = self.ticket(number);
        let surname = draw.one_of(&NAMES);
        let data = json!({
            "ticket": ticket,
            "council": draw.one_of(&COUNCILS),
            "service": format!("bench.{}", self.format(number).word()),
            "channel": "phone",
            "priority": draw.one_of(&["routine", "urgent"]),
            "raised_at": "2026-11-22T09:15:00Z",
            "raised_by": format!("adviser-{}", draw.below(90)),
            "summary": "Grey bin missed for the second week, neighbours were collected",
            "customer": {
                "reference": format!("C-{}", draw.below(99_999)), "title": "Ms", "forename": "Jo",
                "surname": surname, "email": format!("jo.{}@example.org", draw.below(99_999)),
                "phone": format!("01632 96{:04}", draw.below(9_999)), "needs": ["large print"],
                "sharing": {"basis": "public_task"},
            },
            "location": {
                "uprn": format!("1000{:07}", draw.below(9_999_999)), "usrn": "20902421",
                "address": {"lines": [format!("{} {}", 1 + draw.below(200), draw.one_of(&STREETS)), "Harlow"], "postcode": "CM20 1AA"},
                "latitude": 51.77, "longitude": 0.09, "description": "by the side gate, behind the blue fence",
            },
            "details": {
                "container": draw.one_of(&["refuse", "recycling"]), "out_before_7am": draw.below(2) == 0,
                "notes": "The lid is broken and the wheel sticks; the crew is asked to bring the bin back to the gate.",
            },
        });
        let event = json!({
            "specversion": "1.0", "id": format!("e-{ticket}"), "source": "/crm/load",
            "type": "uk.dovetail.request.submitted.v1", "time": "2026-11-22T09:15:01Z",
            "datacontenttype": "application/json", "data": data,
        });
        event.to_string().into_bytes()
    }
}

/// SplitMix64: enough for contents that differ, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((drawn ^ (drawn >> 31)) >> 33).unwrap_or_default() % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}
