//! The checks of the key file, and of wrapped keys.

use std::path::Path;

use zeroize::Zeroizing;

use super::{COST, Cost, Recipe, Secret, Source, StorageKey, Wrap, aad, cipher, file_of, parse_file};
use crate::fuzzing::{Input, encoded};

const DATA_KEY: [u8; 32] = [8; 32];

/// The key that the seeds are wrapped under.
pub(crate) const STORAGE_KEY: [u8; 32] = [9; 32];

/// Digits may be in upper case, so a file that is taken is not the only one for its key.
pub(crate) fn key_file(input: &Input<'_>) {
    input.comes_back(parse_file, |key: &Secret| file_of(key).as_bytes().to_vec());
}

/// Any wrap, opened with a key of bytes: the data key or an error. A passphrase is tried on recipes that cost nothing, and on those that are refused.
pub(crate) fn wrap(input: &Input<'_>) {
    let Some(wrap) = input.borsh::<Wrap>() else { return };
    let key = StorageKey::new(STORAGE_KEY);
    if let Ok(data_key) = wrap.open(Some(&key), Path::new("")) {
        assert_eq!(*data_key, DATA_KEY, "another key came out than went in");
    }
    if let Source::Passphrase(Recipe { cost: Cost { memory, passes, lanes }, .. }) = wrap.source {
        let refused =
            memory > super::HIGHEST.memory || passes > super::HIGHEST.passes || lanes > super::HIGHEST.lanes;
        if refused || (memory <= 64 && passes <= 2) {
            let passphrase = StorageKey::from_passphrase("p").expect("it is short");
            let opened = wrap.open(Some(&passphrase), Path::new(""));
            assert!(opened.is_err(), "opened");
        }
    }
}

/// A wrap that is the same each time.
pub(crate) fn wrapped(source: Source) -> Wrap {
    let nonce = [2; 24];
    let aad = aad(&source).unwrap_or_default();
    let sealed = cipher(&Zeroizing::new(STORAGE_KEY)).seal(&nonce, &aad, &DATA_KEY);
    let sealed = sealed.ok().and_then(|sealed| sealed.try_into().ok()).unwrap_or([0; 48]);
    Wrap { source, nonce, sealed }
}

/// What the seeds wrap.
pub(crate) fn data_key() -> Secret {
    Zeroizing::new(DATA_KEY)
}

pub(crate) fn key_files() -> Vec<Vec<u8>> {
    vec![file_of(&Zeroizing::new(STORAGE_KEY)).as_bytes().to_vec()]
}

pub(crate) fn wraps() -> Vec<Vec<u8>> {
    let recipe = |cost| Source::Passphrase(Recipe { salt: [1; 16], cost });
    let small = Cost { memory: 8, passes: 1, lanes: 1 };
    [Source::File, Source::Host, recipe(COST), recipe(small)].map(|source| encoded(&wrapped(source))).into()
}
