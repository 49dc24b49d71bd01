//! The requests of `warm`: one for each rendition, however its URL is written, the most frequent ones first.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::input::{Input, SeenUrl};
use crate::cli::client::CHROMIUM;
use crate::dialect::{Error, Policy, Target};

/// A class of clients, by the formats that they accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) accept: String,
}

impl Client {
    /// The classes that `format=auto` tells apart.
    pub(super) fn all() -> Vec<Client> {
        ["avif", "webp", "any"].iter().filter_map(|name| Client::named(name)).collect()
    }

    /// A class by its name, or by an Accept header.
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

    /// Whether the class uses a `<source>` of that media type.
    fn accepts(&self, media_type: &str) -> bool {
        let named = |media_type: &str| {
            self.accept.split(',').any(|part| part.split(';').next().is_some_and(|name| name.trim() == media_type))
        };
        !matches!(media_type, "image/avif" | "image/webp") || named(media_type)
    }
}

/// A GET to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedRequest {
    pub(super) target: String,
    pub(super) client: Client,
    /// Whether the rendition depends on the client.
    pub(super) is_negotiable: bool,
}

/// All requests, in order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) requests: Vec<PlannedRequest>,
    pub(super) originals: usize,
}

/// The requests for one original.
#[derive(Default)]
struct Original {
    times: u64,
    requests: Vec<(u64, PlannedRequest)>,
    /// The index in `requests` of each rendition.
    index: HashMap<String, usize>,
}

impl Plan {
    /// `is_remote`: the server may have other settings than `policy`, so requests that the policy refuses are sent as well.
    pub(super) fn new(input: &mut Input, policy: &Policy, clients: &[Client], is_remote: bool) -> Plan {
        let mut originals: BTreeMap<String, Original> = BTreeMap::new();
        let mut urls: Vec<(SeenUrl, u64)> = input.urls.drain().collect();
        urls.sort();
        for (url, times) in urls {
            let requests = match requests(&url, policy, clients, is_remote) {
                Ok(requests) => requests,
                Err(why) => {
                    *input.skipped.entry(why).or_default() += times;
                    continue;
                }
            };
            for (id, rendition, request) in requests {
                let original = originals.entry(id).or_default();
                original.times += times;
                match original.index.get(&rendition) {
                    Some(&at) => original.requests[at].0 += times,
                    None => {
                        original.index.insert(rendition, original.requests.len());
                        original.requests.push((times, request));
                    }
                }
            }
        }
        let count = originals.len();
        let mut originals: Vec<Original> = originals.into_values().collect();
        originals.sort_by_key(|original| std::cmp::Reverse(original.times));
        let in_order = |mut original: Original| {
            original.requests.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
            original.requests.into_iter().map(|(_, request)| request)
        };
        // renditions of one original stay together, to share its decoding
        Plan { requests: originals.into_iter().flat_map(in_order).collect(), originals: count }
    }
}

/// The requests for one URL, each with the original's name and a key of its rendition.
fn requests(
    url: &SeenUrl, policy: &Policy, clients: &[Client], is_remote: bool,
) -> Result<Vec<(String, String, PlannedRequest)>, String> {
    let (path, query) =
        url.target.split_once('?').map_or((url.target.as_str(), None), |(path, query)| (path, Some(query)));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut requests = Vec::new();
    let matching =
        clients.iter().filter(|client| url.media_type.as_ref().is_none_or(|media_type| client.accepts(media_type)));
    for client in matching {
        let request =
            |is_negotiable| PlannedRequest { target: url.target.clone(), client: client.clone(), is_negotiable };
        match policy.target(path, query, &client.accept, now) {
            Ok(Target { recipe: None, .. }) if url.is_logged => {
                return Err("requests for originals, which are not cached".into());
            }
            Ok(Target { id, recipe, negotiable, .. }) => {
                requests.push((id.as_str().to_owned(), format!("{recipe:?}"), request(negotiable)));
                if !negotiable {
                    break;
                }
            }
            Err(Error::InvalidName) => return Err("invalid paths".into()),
            Err(_) if is_remote => {
                requests.push((path.to_owned(), format!("{} {}", url.target, client.name), request(true)))
            }
            Err(Error::InvalidParams(_)) => return Err("invalid parameters".into()),
            Err(error @ (Error::Signature(_) | Error::ForeignSource | Error::Expired)) => return Err(error.to_string()),
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn plan(urls: &[(&str, Option<&str>, u64)], is_remote: bool) -> (Vec<String>, Input) {
        let mut input = Input::default();
        for (target, media_type, times) in urls {
            let url = SeenUrl { target: (*target).into(), media_type: media_type.map(str::to_owned), is_logged: true };
            input.urls.insert(url, *times);
        }
        let policy = Config::default().live.policy().expect("the defaults are good");
        let plan = Plan::new(&mut input, &policy, &Client::all(), is_remote);
        (plan.requests.iter().map(|request| format!("{} {}", request.target, request.client.name)).collect(), input)
    }

    #[test]
    fn spellings_of_one_rendition_are_requested_once() {
        let (requests, _) = plan(
            &[("/a.jpg?w=8&v=1", None, 1), ("/a.jpg?width=8&utm_source=x", None, 1), ("/a.jpg?w=4&dpr=2", None, 1)],
            false,
        );
        assert_eq!(requests, ["/a.jpg?w=4&dpr=2 avif"]);
    }

    #[test]
    fn negotiated_format_is_requested_for_each_class_of_clients() {
        let (requests, _) = plan(&[("/a.jpg?w=8&format=auto", None, 1), ("/a.jpg?auto=format&w=8", None, 1)], false);
        assert_eq!(
            requests,
            ["/a.jpg?auto=format&w=8 avif", "/a.jpg?auto=format&w=8 webp", "/a.jpg?auto=format&w=8 any"]
        );
        let (requests, _) = plan(&[("/a.jpg?w=8&format=auto", Some("image/avif"), 1)], false);
        assert_eq!(requests, ["/a.jpg?w=8&format=auto avif"]);
        let (requests, _) = plan(&[("/a.jpg?w=8&format=auto", Some("image/webp"), 1)], false);
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn most_frequent_original_comes_first() {
        let (requests, _) = plan(&[("/a.jpg?w=1", None, 5), ("/b.jpg?w=1", None, 4), ("/b.jpg?w=2", None, 6)], false);
        assert_eq!(requests, ["/b.jpg?w=2 avif", "/b.jpg?w=1 avif", "/a.jpg?w=1 avif"]);
    }

    #[test]
    fn uncacheable_requests_are_skipped_with_the_reason() {
        let url =
            [("/a.jpg", None, 2), ("/a.jpg?w=0", None, 3), ("/../a.jpg?w=1", None, 1), ("/a.jpg?w=1&s=AAAA", None, 1)];
        let (requests, input) = plan(&url, false);
        assert!(requests.is_empty());
        assert_eq!(input.skipped.values().sum::<u64>(), 7, "{:?}", input.skipped);
        // another server may accept them
        let (requests, input) = plan(&url, true);
        assert_eq!(requests.len(), 6);
        assert_eq!(input.skipped.values().sum::<u64>(), 3, "{:?}", input.skipped);
    }
}
