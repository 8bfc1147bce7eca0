//! What is to be done with a ticket. Pure.
//!
//! Exactly one ticket is open for an incident. Before a ticket is asked for, that is written down
//! (`Asked`); an answer with its number makes it `Open`. Whatever happens between the two, the next
//! attempt looks for the ticket by its key first, and a new one is asked for only when it is not found
//! long enough after.

use rollcall_shared::time::UnixMs;

use crate::incident::IncidentId;
use crate::memo::{Ticket, TicketState};
use crate::notification::Event;

/// What the system can do, and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// Whether it finds tickets by our key.
    pub find: bool,
    /// Whether it takes comments.
    pub comment: bool,
    /// Whether it closes tickets.
    pub resolve: bool,
    /// Whether it opens closed ones again.
    pub reopen: bool,
    /// For how long after its end a ticket is opened again, in milliseconds.
    pub reopen_ms: i64,
    /// How long after a create without an answer it may still turn up, in milliseconds.
    pub settle_ms: i64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A ticket with this key is asked for; the incident had so many before.
    Create {
        /// The key.
        key: String,
        /// How many tickets the incident had before.
        earlier: u32,
    },
    /// The ticket with this key is looked for.
    Find(String),
    /// A comment is added.
    Comment,
    /// It is closed.
    Resolve,
    /// It is opened again.
    Reopen,
    /// Nothing; why, for the audit log.
    Nothing(&'static str),
    /// Not before this time: it may still turn up.
    NotBefore(UnixMs),
    /// Only a person can tell whether there is a ticket.
    AskPerson(String),
}

/// What is to be done about `event`, with what is known of the ticket.
#[must_use]
pub fn next(
    event: Event,
    incident: IncidentId,
    known: Option<&Ticket>,
    can: Ability,
    is_by_hand: bool,
    now: UnixMs,
) -> Next {
    let Some(ticket) = known else {
        return match (event, can.find) {
            (Event::Resolved, true) => Next::Find(key_of(incident, 0)),
            (Event::Resolved, false) => Next::Nothing("it has no ticket"),
            _ => first(incident),
        };
    };
    match (ticket.state, event) {
        (TicketState::Asked, _) if can.find => Next::Find(ticket.key.clone()),
        // Whoever asks to try again has looked for it.
        (TicketState::Asked, Event::Resolved) if is_by_hand => Next::Nothing("it has no ticket"),
        (TicketState::Asked, _) if is_by_hand => again(ticket),
        (TicketState::Asked, _) => Next::AskPerson(ticket.key.clone()),
        (TicketState::Open, Event::Fired) => Next::Nothing("its ticket is open"),
        (TicketState::Open, Event::Updated | Event::Reopened) if can.comment => Next::Comment,
        (TicketState::Open, Event::Resolved) if can.resolve => Next::Resolve,
        (TicketState::Open, Event::Resolved) if can.comment => Next::Comment,
        (TicketState::Open, _) => Next::Nothing("the system takes no word about a ticket"),
        (TicketState::Closed, Event::Resolved) => Next::Nothing("its ticket is closed"),
        (TicketState::Closed, _) if can.reopen && now.since(ticket.at) <= can.reopen_ms => {
            Next::Reopen
        }
        (TicketState::Closed, _) => Next::Create {
            key: key_of(incident, ticket.earlier + 1),
            earlier: ticket.earlier + 1,
        },
    }
}

/// What is to be done when the ticket was looked for and is not there.
#[must_use]
pub fn not_found(
    event: Event,
    incident: IncidentId,
    known: Option<&Ticket>,
    can: Ability,
    now: UnixMs,
) -> Next {
    let settled = known.map(|ticket| ticket.at.plus_ms(can.settle_ms));
    match (settled, event) {
        (Some(settled), _) if settled > now => Next::NotBefore(settled),
        (_, Event::Resolved) => Next::Nothing("it has no ticket"),
        _ => known.map_or_else(|| first(incident), again),
    }
}

/// The key of an incident's ticket; later ones of the same incident are numbered.
fn key_of(incident: IncidentId, earlier: u32) -> String {
    match earlier {
        0 => incident.to_string(),
        earlier => format!("{incident}-{}", earlier + 1),
    }
}

fn first(incident: IncidentId) -> Next {
    Next::Create {
        key: key_of(incident, 0),
        earlier: 0,
    }
}

fn again(ticket: &Ticket) -> Next {
    Next::Create {
        key: ticket.key.clone(),
        earlier: ticket.earlier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_788_361_200_000);
    const ALL: Ability = Ability {
        find: true,
        comment: true,
        resolve: true,
        reopen: true,
        reopen_ms: 4 * 86_400_000,
        settle_ms: 120_000,
    };
    const CREATES: Ability = Ability {
        find: false,
        comment: false,
        resolve: false,
        reopen: false,
        ..ALL
    };

    fn ticket(state: TicketState) -> Ticket {
        Ticket {
            key: "the key".to_owned(),
            state,
            id: "7".to_owned(),
            number: "INC7".to_owned(),
            at: NOW,
            earlier: 0,
        }
    }

    #[test]
    fn a_ticket_is_made_once_and_then_followed() {
        let incident = IncidentId::generate();
        let told = |event, state: Option<TicketState>| {
            let known = state.map(ticket);
            next(event, incident, known.as_ref(), ALL, false, NOW)
        };
        let create = Next::Create {
            key: incident.to_string(),
            earlier: 0,
        };
        assert_eq!(told(Event::Fired, None), create);
        assert_eq!(told(Event::Updated, None), create);
        assert_eq!(
            told(Event::Resolved, None),
            Next::Find(incident.to_string())
        );
        let open = Some(TicketState::Open);
        assert_eq!(
            told(Event::Fired, open),
            Next::Nothing("its ticket is open")
        );
        assert_eq!(told(Event::Updated, open), Next::Comment);
        assert_eq!(told(Event::Reopened, open), Next::Comment);
        assert_eq!(told(Event::Resolved, open), Next::Resolve);
        let closed = Some(TicketState::Closed);
        assert_eq!(
            told(Event::Resolved, closed),
            Next::Nothing("its ticket is closed")
        );
        assert_eq!(told(Event::Reopened, closed), Next::Reopen);
    }

    #[test]
    fn after_a_create_without_an_answer_it_is_looked_for_until_it_could_not_turn_up_any_more() {
        let incident = IncidentId::generate();
        let asked = ticket(TicketState::Asked);
        for event in [Event::Fired, Event::Updated, Event::Resolved] {
            let looked_for = next(event, incident, Some(&asked), ALL, false, NOW);
            assert_eq!(looked_for, Next::Find("the key".to_owned()));
            let missing = |at| not_found(event, incident, Some(&asked), ALL, at);
            let settled = NOW.plus_ms(120_000);
            assert_eq!(missing(NOW.plus_ms(119_999)), Next::NotBefore(settled));
            let then = missing(settled);
            match event {
                Event::Resolved => assert_eq!(then, Next::Nothing("it has no ticket")),
                _ => assert_eq!(
                    then,
                    Next::Create {
                        key: "the key".to_owned(),
                        earlier: 0
                    }
                ),
            }
        }
    }

    #[test]
    fn a_system_that_finds_nothing_is_asked_again_by_a_person_only() {
        let incident = IncidentId::generate();
        let asked = ticket(TicketState::Asked);
        let told = |by_hand| next(Event::Fired, incident, Some(&asked), CREATES, by_hand, NOW);
        assert_eq!(told(false), Next::AskPerson("the key".to_owned()));
        assert!(matches!(told(true), Next::Create { .. }));
        let open = ticket(TicketState::Open);
        let word = next(Event::Resolved, incident, Some(&open), CREATES, false, NOW);
        assert!(matches!(word, Next::Nothing(_)), "{word:?}");
    }

    #[test]
    fn a_problem_that_comes_back_late_has_a_new_ticket_with_a_key_of_its_own() {
        let incident = IncidentId::generate();
        let closed = ticket(TicketState::Closed);
        let told = |can, at| next(Event::Reopened, incident, Some(&closed), can, false, at);
        let late = NOW.plus_ms(ALL.reopen_ms + 1);
        let new = Next::Create {
            key: format!("{incident}-2"),
            earlier: 1,
        };
        assert_eq!(told(ALL, late), new);
        assert_eq!(told(CREATES, NOW), new, "where nothing is opened again");
        assert_eq!(told(ALL, late.plus_ms(-1)), Next::Reopen);
    }
}
