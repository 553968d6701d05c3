//! Values that flags of several roles take. A wrong one is refused in words that say what it must be.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// An address to listen on.
///
/// # Errors
/// What it must be, with an example.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8000".to_owned())
}

/// Takes whole numbers within these bounds only.
pub fn whole_number<T: FromStr + 'static>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        number.and_then(|_| text.parse().ok()).ok_or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            format!("must be a whole number from {least} to {most}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;

    #[test]
    fn an_address_is_an_ip_address_and_a_port() {
        assert_eq!(address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for bad in ["localhost:8000", "8000", "127.0.0.1", "127.0.0.1:70000", ""] {
            let rule = address(bad).expect_err(bad);
            assert!(rule.contains("127.0.0.1:8000"), "{rule}");
        }
    }

    #[test]
    fn a_number_out_of_bounds_is_told_the_bounds() {
        let threads = whole_number::<NonZero<usize>>(1..=1024);
        assert_eq!(threads("1024"), Ok(NonZero::new(1024).unwrap()));
        for bad in ["0", "1025", "-1", "1.5", "many", "", "99999999999999999999"] {
            let rule = threads(bad).expect_err(bad);
            assert_eq!(rule, "must be a whole number from 1 to 1024");
        }
        assert_eq!(whole_number::<u16>(0..=1000)("0"), Ok(0));
    }
}
