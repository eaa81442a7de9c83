//! Tokens as QR codes, drawn with characters for a terminal.

use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};

use super::Invitation;
use crate::{Error, Result};

/// The light border around the code, in modules. Half of what the standard asks for: that is enough on a screen, and keeps a usual token
/// within 80 columns.
const BORDER: i32 = 2;

/// An invitation's token as a QR code for a terminal: lines of half blocks, two modules of the code above each other in a character, light
/// ones filled. It is meant for light characters on a dark ground. In it the token is in upper case, which takes less room.
pub fn qr_text(token: &str) -> Result<String> {
    // What is no invitation is not shown as one.
    let token = Invitation::from_text(token)?.to_text().to_uppercase();
    let segments = [QrSegment::make_alphanumeric(&token)];
    // A screen has no dirt on it: the lowest correction makes the smallest code.
    let code = QrCode::encode_segments_advanced(
        &segments,
        QrCodeEcc::Low,
        Version::MIN,
        Version::MAX,
        None::<Mask>,
        false,
    )
    .map_err(|error| Error::limit_exceeded(format!("the invitation fits no QR code: {error}")))?;
    let range = -BORDER..code.size() + BORDER;
    let mut text = String::new();
    for upper in range.clone().step_by(2) {
        for x in range.clone() {
            let light = |y| y < range.end && !code.get_module(x, y);
            text.push(match (light(upper), light(upper + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::limits;

    fn token(addresses: usize, note: &str) -> String {
        crate::invitation::fuzzing::addressed(addresses, note).unwrap().to_text()
    }

    /// What a camera sees of the drawing, decoded by another library.
    fn read(drawn: &str) -> String {
        let columns = drawn.lines().next().unwrap().chars().count();
        let rows: Vec<Vec<bool>> = drawn
            .lines()
            .flat_map(|line| {
                let halves = line.chars().map(|c| match c {
                    '█' => (false, false),
                    '▀' => (false, true),
                    '▄' => (true, false),
                    ' ' => (true, true),
                    other => panic!("{other:?} is drawn"),
                });
                let (upper, lower): (Vec<bool>, Vec<bool>) = halves.unzip();
                [upper, lower]
            })
            .collect();
        assert!(rows.iter().all(|row| row.len() == columns) && rows.len() - columns <= 1);
        let border = BORDER as usize;
        let (edge, size) = (columns - border, columns - 2 * border);
        for (y, row) in rows.iter().take(columns).enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let inside = (border..edge).contains(&x) && (border..edge).contains(&y);
                assert!(inside || !dark, "the border is not light at {x}, {y}");
            }
        }
        let grid = rqrr::SimpleGrid::from_func(size, |x, y| rows[y + border][x + border]);
        rqrr::Grid::new(grid).decode().unwrap().1
    }

    #[test]
    fn every_token_is_read_back_from_what_is_drawn() {
        for (addresses, note) in [(0, ""), (1, ""), (2, "for Ben"), (10, &*"n".repeat(limits::NOTE))] {
            let token = token(addresses, note);
            let drawn = qr_text(&token).unwrap();
            let seen = read(&drawn);
            assert_eq!(seen, token.to_uppercase());
            assert_eq!(Invitation::from_text(&seen).unwrap(), Invitation::from_text(&token).unwrap());
            assert!(drawn.lines().next().unwrap().chars().count() <= 100, "{addresses} addresses");
        }
    }

    #[test]
    fn a_usual_token_fits_80_columns() {
        let drawn = qr_text(&token(1, "for Ben")).unwrap();
        assert!(drawn.lines().next().unwrap().chars().count() <= 80, "{drawn}");
    }

    #[test]
    fn what_is_no_invitation_is_not_drawn() {
        for text in ["", "kith1nonsense", "https://example.org"] {
            assert_eq!(qr_text(text).unwrap_err().kind(), ErrorKind::InvitationInvalid);
        }
    }
}
