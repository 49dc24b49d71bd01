//! What is asked for: each wish once, whatever its spelling, those first that are asked for most.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::input::{Input, Met};
use crate::cli::client::CHROMIUM;
use crate::dialect::{Error, Policy, Target};

/// A kind of client, by the formats that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) accept: String,
}

impl Client {
    /// All that there are as far as formats are concerned.
    pub(super) fn all() -> Vec<Client> {
        ["avif", "webp", "any"].iter().filter_map(|name| Client::named(name)).collect()
    }

    /// One of them, or one with a header of its own.
    pub(super) fn named(text: &str) -> Option<Client> {
        let accept = match text {
            "avif" => CHROMIUM,
            "webp" => "image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
            "any" => "*/*",
            header if header.contains('/') => header,
            _ => return None,
        };
        Some(Client { name: text.into(), accept: accept.into() })
    }

    /// Whether it would take what a page says is of that type.
    fn takes(&self, kind: &str) -> bool {
        let named = |kind: &str| {
            self.accept.split(',').any(|part| part.split(';').next().is_some_and(|name| name.trim() == kind))
        };
        !matches!(kind, "image/avif" | "image/webp") || named(kind)
    }
}

/// One GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetSize {
    pub(super) target: String,
    pub(super) client: Client,
    /// Whether the client makes a difference.
    pub(super) is_negotiable: bool,
}

/// Everything that is asked for, in order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) wishes: Vec<TargetSize>,
    pub(super) originals: usize,
}

/// What one original is wanted as.
#[derive(Default)]
struct Original {
    times: u64,
    wishes: Vec<(u64, TargetSize)>,
    /// Where each rendition stands in `wishes`.
    known: HashMap<String, usize>,
}

impl Plan {
    /// `is_elsewhere` where the server that is asked may have other settings than these: what they refuse is asked all
    /// the same.
    pub(super) fn new(input: &mut Input, policy: &Policy, clients: &[Client], is_elsewhere: bool) -> Plan {
        let mut originals: BTreeMap<String, Original> = BTreeMap::new();
        let mut met: Vec<(Met, u64)> = input.met.drain().collect();
        met.sort();
        for (met, times) in met {
            let wishes = match wishes(&met, policy, clients, is_elsewhere) {
                Ok(wishes) => wishes,
                Err(why) => {
                    *input.passed.entry(why).or_default() += times;
                    continue;
                }
            };
            for (id, rendition, wish) in wishes {
                let original = originals.entry(id).or_default();
                original.times += times;
                match original.known.get(&rendition) {
                    Some(&at) => original.wishes[at].0 += times,
                    None => {
                        original.known.insert(rendition, original.wishes.len());
                        original.wishes.push((times, wish));
                    }
                }
            }
        }
        let count = originals.len();
        let mut originals: Vec<Original> = originals.into_values().collect();
        originals.sort_by_key(|original| std::cmp::Reverse(original.times));
        let in_order = |mut original: Original| {
            original.wishes.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
            original.wishes.into_iter().map(|(_, wish)| wish)
        };
        // an original's renditions stay together, so that they share its decoding
        Plan { wishes: originals.into_iter().flat_map(in_order).collect(), originals: count }
    }
}

/// What is to be asked for one URL: the original's name, what tells its renditions apart, and the request.
fn wishes(
    met: &Met, policy: &Policy, clients: &[Client], is_elsewhere: bool,
) -> Result<Vec<(String, String, TargetSize)>, String> {
    let (path, query) =
        met.target.split_once('?').map_or((met.target.as_str(), None), |(path, query)| (path, Some(query)));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut wishes = Vec::new();
    let takers = clients.iter().filter(|client| met.kind.as_ref().is_none_or(|kind| client.takes(kind)));
    for client in takers {
        let wish = |is_negotiable| TargetSize { target: met.target.clone(), client: client.clone(), is_negotiable };
        match policy.target(path, query, &client.accept, now) {
            Ok(Target { recipe: None, .. }) if met.is_logged => {
                return Err("they ask for an original as it is, of which nothing is kept".into());
            }
            Ok(Target { id, recipe, negotiable, .. }) => {
                wishes.push((id.as_str().to_owned(), format!("{recipe:?}"), wish(negotiable)));
                if !negotiable {
                    break;
                }
            }
            Err(Error::InvalidName) => return Err("their paths can be no original's".into()),
            Err(_) if is_elsewhere => {
                wishes.push((path.to_owned(), format!("{} {}", met.target, client.name), wish(true)))
            }
            Err(Error::InvalidParams(_)) => return Err("a parameter of theirs is wrong".into()),
            Err(error @ (Error::Signature(_) | Error::Expired)) => return Err(error.to_string()),
        }
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plan(met: &[(&str, Option<&str>, u64)], is_elsewhere: bool) -> (Vec<String>, Input) {
        let mut input = Input::default();
        for (target, kind, times) in met {
            let met = Met { target: (*target).into(), kind: kind.map(str::to_owned), is_logged: true };
            input.met.insert(met, *times);
        }
        let policy = Config::default().live.policy().expect("the defaults are good");
        let plan = Plan::new(&mut input, &policy, &Client::all(), is_elsewhere);
        (plan.wishes.iter().map(|wish| format!("{} {}", wish.target, wish.client.name)).collect(), input)
    }

    #[test]
    fn spellings_of_one_wish_are_asked_once() {
        let (wishes, _) = plan(
            &[("/a.jpg?w=8&v=1", None, 1), ("/a.jpg?width=8&utm_source=x", None, 1), ("/a.jpg?w=4&dpr=2", None, 1)],
            false,
        );
        assert_eq!(wishes, ["/a.jpg?w=4&dpr=2 avif"]);
    }

    #[test]
    fn a_format_left_open_is_asked_as_each_client_would() {
        let (wishes, _) = plan(&[("/a.jpg?w=8&format=auto", None, 1), ("/a.jpg?auto=format&w=8", None, 1)], false);
        assert_eq!(
            wishes,
            ["/a.jpg?auto=format&w=8 avif", "/a.jpg?auto=format&w=8 webp", "/a.jpg?auto=format&w=8 any"]
        );
        let (wishes, _) = plan(&[("/a.jpg?w=8&format=auto", Some("image/avif"), 1)], false);
        assert_eq!(wishes, ["/a.jpg?w=8&format=auto avif"]);
        let (wishes, _) = plan(&[("/a.jpg?w=8&format=auto", Some("image/webp"), 1)], false);
        assert_eq!(wishes.len(), 2);
    }

    #[test]
    fn what_is_asked_most_comes_first_and_originals_stay_together() {
        let (wishes, _) = plan(&[("/a.jpg?w=1", None, 5), ("/b.jpg?w=1", None, 4), ("/b.jpg?w=2", None, 6)], false);
        assert_eq!(wishes, ["/b.jpg?w=2 avif", "/b.jpg?w=1 avif", "/a.jpg?w=1 avif"]);
    }

    #[test]
    fn what_cannot_be_kept_is_passed_over_with_the_reason() {
        let met =
            [("/a.jpg", None, 2), ("/a.jpg?w=0", None, 3), ("/../a.jpg?w=1", None, 1), ("/a.jpg?w=1&s=AAAA", None, 1)];
        let (wishes, input) = plan(&met, false);
        assert!(wishes.is_empty());
        assert_eq!(input.passed.values().sum::<u64>(), 7, "{:?}", input.passed);
        // another server may know better
        let (wishes, input) = plan(&met, true);
        assert_eq!(wishes.len(), 6);
        assert_eq!(input.passed.values().sum::<u64>(), 3, "{:?}", input.passed);
    }
}
