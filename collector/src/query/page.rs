//! Pages of a long list: opaque cursors that stay right while the list changes.
//!
//! A cursor holds the sort key of the last item that was shown, not a position: items that come or
//! go in between neither repeat nor hide others. The text is base64url of a version byte, a byte for
//! the kind of list, and the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::QueryError;

/// Items on a page when the caller does not say.
pub const DEFAULT_SIZE: usize = 100;

/// Most items on a page: a device takes about 500 bytes as JSON, so a page stays below 1 MB.
pub const LARGEST_SIZE: usize = 1000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K> {
    /// At most this many items; 1 to [`LARGEST_SIZE`].
    pub size: usize,
    /// The sort key of the last item of the page before.
    pub after: Option<K>,
}

/// What lists are sorted by, as bytes of a fixed length.
pub trait SortKey: Copy + Ord {
    /// Tells the cursors of one kind of list from those of another.
    const KIND: u8;

    /// The key as bytes.
    fn to_bytes(self) -> Vec<u8>;

    /// The key of these bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

const VERSION: u8 = 1;

impl<K: SortKey> Page<K> {
    /// The page that a caller asked for. An absent size means [`DEFAULT_SIZE`], an absent or empty
    /// cursor the first page.
    ///
    /// # Errors
    /// [`QueryError::Field`] names `page_size` or `page`.
    pub fn new(size: Option<u64>, cursor: Option<&str>) -> Result<Self, QueryError> {
        let size = size.unwrap_or(DEFAULT_SIZE as u64);
        let size = usize::try_from(size)
            .ok()
            .filter(|size| (1..=LARGEST_SIZE).contains(size))
            .ok_or_else(|| {
                QueryError::field("page_size", format!("must be from 1 to {LARGEST_SIZE}"))
            })?;
        let after = cursor
            .filter(|cursor| !cursor.is_empty())
            .map(decode)
            .transpose()?;
        Ok(Self { size, after })
    }

    /// Cuts this page out of `items`, which ascend by `key`; the second part is the cursor of the
    /// page that follows, if one does.
    pub fn cut<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> K,
    ) -> (Vec<T>, Option<String>) {
        let is_later = |item: &T| self.after.is_none_or(|after| key(item) > after);
        let mut rest = items.into_iter().filter(is_later);
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let next = page.last().filter(|_| more).map(|last| encode(key(last)));
        (page, next)
    }
}

/// The cursor of the page that follows an item.
pub(super) fn encode<K: SortKey>(key: K) -> String {
    let mut bytes = vec![VERSION, K::KIND];
    bytes.extend(key.to_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<K: SortKey>(cursor: &str) -> Result<K, QueryError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
    let key = match bytes.split_first_chunk::<2>() {
        Some((&[VERSION, kind], rest)) if kind == K::KIND => K::from_bytes(rest),
        _ => None,
    };
    key.ok_or_else(|| {
        QueryError::field(
            "page",
            "must be `next_page` of the answer before, of the same list",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Number(u8);

    impl SortKey for Number {
        const KIND: u8 = b'n';

        fn to_bytes(self) -> Vec<u8> {
            vec![self.0]
        }

        fn from_bytes(bytes: &[u8]) -> Option<Self> {
            <[u8; 1]>::try_from(bytes).ok().map(|[n]| Self(n))
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Other(u8);

    impl SortKey for Other {
        const KIND: u8 = b'o';

        fn to_bytes(self) -> Vec<u8> {
            vec![self.0]
        }

        fn from_bytes(bytes: &[u8]) -> Option<Self> {
            <[u8; 1]>::try_from(bytes).ok().map(|[n]| Self(n))
        }
    }

    #[test]
    fn pages_neither_repeat_nor_skip_while_the_list_changes() {
        let mut list = vec![1_u8, 3, 5, 7, 9];
        let first = Page::<Number>::new(Some(2), None).unwrap();
        let (page, next) = first.cut(list.clone(), |n| Number(*n));
        assert_eq!(page, [1, 3]);
        list.retain(|n| *n != 3);
        list.splice(0..0, [0, 2]);
        let second = Page::<Number>::new(Some(2), next.as_deref()).unwrap();
        let (page, next) = second.cut(list.clone(), |n| Number(*n));
        assert_eq!(
            page,
            [5, 7],
            "what came or went before the cursor is not seen"
        );
        let third = Page::<Number>::new(Some(2), next.as_deref()).unwrap();
        assert_eq!(third.cut(list, |n| Number(*n)), (vec![9], None));
    }

    #[test]
    fn a_full_last_page_has_no_follower() {
        let page = Page::<Number>::new(Some(2), Some("")).unwrap();
        assert_eq!(page.cut([1, 2], |n| Number(*n)), (vec![1, 2], None));
    }

    #[test]
    fn sizes_and_cursors_are_checked_by_name() {
        for bad in [0, 1001, u64::MAX] {
            let error = Page::<Number>::new(Some(bad), None).unwrap_err();
            assert!(error.to_string().contains("page_size"), "{error}");
        }
        let foreign = encode(Other(1));
        for bad in ["%", "AA", "AW4", foreign.as_str(), &"A".repeat(5000)] {
            let error = Page::<Number>::new(None, Some(bad)).unwrap_err();
            assert!(error.to_string().contains("next_page"), "{bad}: {error}");
        }
    }
}
