//! DER, written by hand: what no library of good manners writes has to be written by somebody.

/// Tag, length, value.
pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match value.len() {
        short @ 0..=127 => der.push(short as u8),
        long => {
            let bytes: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            der.push(0x80 | bytes.len() as u8);
            der.extend(bytes);
        }
    }
    der.extend_from_slice(value);
    der
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

/// `[n]`, around a whole value.
pub(crate) fn explicit(n: u8, value: &[u8]) -> Vec<u8> {
    tlv(0xa0 | n, value)
}

/// Exactly these bytes, minimal or not.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    tlv(2, bytes)
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(1, &[if value { 0xff } else { 0 }])
}

pub(crate) fn octets(value: &[u8]) -> Vec<u8> {
    tlv(4, value)
}

pub(crate) fn bits(value: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], value].concat())
}

/// Named bits, as in KeyUsage: bit 0 is the first one from the left.
pub(crate) fn named_bits(which: &[u8]) -> Vec<u8> {
    let mut bytes = [0_u8; 2];
    for bit in which {
        bytes[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    let used = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
    let unused = used.last().map_or(0, |last| last.trailing_zeros().min(7)) as u8;
    tlv(3, &[&[unused], used].concat())
}

/// `1.2.840.10045.4.3.2`
pub(crate) fn oid(text: &str) -> Vec<u8> {
    let mut numbers = text.split('.').map(|number| number.parse::<u32>().expect("numbers and dots"));
    let (first, second) = (numbers.next().expect("two numbers"), numbers.next().expect("two numbers"));
    let mut value = Vec::new();
    for number in [40 * first + second].into_iter().chain(numbers) {
        let digits: Vec<u8> = (0..5).rev().map(|at| (number >> (7 * at)) as u8 & 0x7f).collect();
        let from = digits.iter().position(|digit| *digit != 0).unwrap_or(4);
        let (last, rest) = digits[from..].split_last().expect("five digits");
        value.extend(rest.iter().map(|digit| digit | 0x80));
        value.push(*last);
    }
    tlv(6, &value)
}

/// Seconds since 1970, as GeneralizedTime.
pub(crate) fn time(unix: i64) -> Vec<u8> {
    let (days, of_day) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // Howard Hinnant's civil_from_days.
    let era_day = days + 719_468;
    let era = era_day.div_euclid(146_097);
    let day = era_day.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let (tag, year) = if (1950..2050).contains(&year) {
        (23, format!("{:02}", year % 100))
    } else {
        (24, format!("{year:04}"))
    };
    tlv(tag, format!("{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes())
}

/// A name with one common name in it; none, if it is empty.
pub(crate) fn name(common: &str) -> Vec<u8> {
    if common.is_empty() {
        return sequence(&[]);
    }
    let attribute = sequence(&[&oid("2.5.4.3"), &tlv(12, common.as_bytes())]);
    sequence(&[&set(&[&attribute])])
}

pub(crate) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let (id, value) = (oid(id), octets(value));
    if critical { sequence(&[&id, &boolean(true), &value]) } else { sequence(&[&id, &value]) }
}

#[test]
fn what_is_written_by_hand_reads_as_it_should() {
    assert_eq!(oid("1.2.840.10045.4.3.2"), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
    assert_eq!(time(1_700_000_000), tlv(23, b"231114221320Z"));
    assert_eq!(time(4_102_444_800), tlv(24, b"21000101000000Z"));
    assert_eq!(named_bits(&[0]), [3, 2, 7, 0x80]);
    assert_eq!(named_bits(&[0, 5]), [3, 2, 2, 0x84]);
    assert_eq!(tlv(4, &[7; 200])[..3], [4, 0x81, 200]);
}
