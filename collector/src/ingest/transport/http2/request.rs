//! What a client asks for: the fields of its headers, checked (RFC 9113, section 8).

use super::super::hpack::Field;

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::ingest) struct Request {
    /// Such as `POST`.
    pub method: String,
    /// Such as `/rollcall.v1.AgentService/Stream`.
    pub path: String,
    /// The other fields, in order.
    pub fields: Vec<Field>,
}

impl Request {
    /// The request that the fields make; `None` if they make none.
    pub fn new(fields: Vec<Field>) -> Option<Self> {
        let (mut request, mut scheme, mut authority) =
            (Self::default(), String::new(), String::new());
        for (name, value) in fields {
            let place = match &name[..] {
                b":method" => &mut request.method,
                b":path" => &mut request.path,
                b":scheme" => &mut scheme,
                b":authority" => &mut authority,
                _ if is_plain(&name) => {
                    request.fields.push((name, value));
                    continue;
                }
                _ => return None,
            };
            // Once each, and before all others.
            if !place.is_empty() || !request.fields.is_empty() {
                return None;
            }
            *place = String::from_utf8(value).ok()?;
        }
        let is_whole = !request.method.is_empty() && !request.path.is_empty() && !scheme.is_empty();
        is_whole.then_some(request)
    }

    /// The value of a field, as text.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter();
        let (_, value) = all.find(|(known, _)| known == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }
}

/// A field that HTTP/2 allows: in small letters, and nothing about the connection.
fn is_plain(name: &[u8]) -> bool {
    let is_letter =
        |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && *byte != b':';
    let of_connection: [&[u8]; 4] = [
        b"connection",
        b"transfer-encoding",
        b"upgrade",
        b"keep-alive",
    ];
    !name.is_empty() && name.iter().all(is_letter) && !of_connection.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Option<Request> {
        let field =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Request::new(fields.iter().map(field).collect())
    }

    #[test]
    fn a_request_has_its_parts_once_and_first() {
        let parts = [(":method", "POST"), (":scheme", "https"), (":path", "/a")];
        let whole = request(&[&parts[..], &[("te", "trailers")]].concat()).unwrap();
        assert_eq!(
            (whole.method.as_str(), whole.field("te")),
            ("POST", Some("trailers"))
        );
        assert_eq!(request(&parts[..2]), None);
        assert_eq!(request(&[&parts[..], &[(":path", "/b")]].concat()), None);
        assert_eq!(request(&[&[("te", "x")], &parts[..]].concat()), None);
        for bad in ["Te", "connection", ":status", "a b", ""] {
            assert_eq!(
                request(&[&parts[..], &[(bad, "x")]].concat()),
                None,
                "{bad}"
            );
        }
    }
}
