//! The check of the file of the marks.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::slots::{self, BLOCK, SUM};
use super::{AAD, Content, Mark, Origin, cipher, decode, encode};
use crate::fuzzing::{Input, encoded};
use crate::replica::{ContextId, MemberId, TransactionId};

/// A file as it is, or with right checksums; and whatever it holds, written and read again.
pub(crate) fn file(input: &Input<'_>) {
    let (right, input) = input.choose();
    let mut bytes = input.bytes.to_vec();
    if right % 2 == 1 {
        for block in bytes.chunks_exact_mut(BLOCK) {
            let sum = slots::checksum(&block[..BLOCK - SUM]);
            block[BLOCK - SUM..].copy_from_slice(&sum);
        }
    }
    let Ok((layout, content)) = decode(&bytes, None) else { return };
    let encoded = encode(&content, None).expect("it encodes");
    assert!(encoded.len() <= bytes.len());
    // The next write goes to the other slot, and what was last written is found.
    if let Some((after, at, slot)) = layout.next(&encoded) {
        let at = usize::try_from(at).expect("within the file");
        bytes[at..at + slot.len() - usize::from(input.lenient)]
            .copy_from_slice(&slot[usize::from(input.lenient)..]);
        assert_eq!(decode(&bytes, None).ok(), Some((after, content)), "what was written is not found");
    }
}

/// A file whose content really opens, and is anything.
pub(crate) fn sealed(input: &Input<'_>) {
    let key = Zeroizing::new([3; 32]);
    let decode = |content: &[u8]| {
        let nonce = [4; 24];
        let sealed = cipher(&key).seal(&nonce, AAD, content).ok()?;
        let (_, file) = slots::create(&[&nonce[..], &sealed].concat(), None).expect("there is room");
        assert!(decode(&file, Some(&Zeroizing::new([5; 32]))).is_err(), "opened with another key");
        decode(&file, Some(&key)).ok().map(|(_, content)| content)
    };
    // The order of the marks is free.
    input.comes_back(decode, encoded);
}

fn content(count: u8) -> Content {
    Content {
        origin: Origin { device: 1, inode: 2, machine: Some([3; 32]) },
        marks: (0..count)
            .map(|number| {
                let mark = Mark { sequence: 4, id: TransactionId([5; 32]) };
                ((ContextId([number; 32]), MemberId([6; 32])), mark)
            })
            .collect::<BTreeMap<_, _>>(),
    }
}

pub(crate) fn files() -> Vec<Vec<u8>> {
    let file = slots::create(&encoded(&content(1)), None).map(|(_, file)| file);
    file.iter().map(|file| [&[1][..], file].concat()).collect()
}

pub(crate) fn contents() -> Vec<Vec<u8>> {
    [0, 2].map(|count| encoded(&content(count))).into()
}
