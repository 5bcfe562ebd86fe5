//! Encryption at rest, once, before the proposal: log, checkpoint, snapshots and backups hold ciphertext only.
//!
//! AES-256-GCM-SIV under a data key, with the storage key as associated data, so that a value moved to another key does
//! not open. Data keys are rows of the store, wrapped by the master key, which never is.

use std::{collections::BTreeMap, sync::Arc};

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};

/// Where wrapped data keys live.
pub const KEYS_PREFIX: &str = "/kontiki/keys/";
/// The first byte of an encrypted value; no other stored format begins with it.
pub(crate) const MARK: u8 = b'E';
const VERSION: u8 = 1;
const HEADER: usize = 6;
const NONCE: usize = 12;
/// The length of every key.
pub(crate) const KEY: usize = 32;

/// Why a value could not be sealed or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EncryptionError {
    /// No data key has been made yet.
    #[error("no data key exists yet")]
    NoKey,
    /// This member has not seen the key, or cannot unwrap it.
    #[error("data key {0} is unknown")]
    UnknownKey(u32),
    /// The value is not what was sealed under this storage key.
    #[error("encrypted value at {0} does not open: it was changed, moved, or sealed with another master key")]
    Broken(String),
    /// The system's random numbers failed.
    #[error("no random numbers")]
    Random,
}

/// The data keys this member has unwrapped.
pub(crate) struct Keyring {
    master: Aes256GcmSiv,
    keys: ArcSwap<BTreeMap<u32, Arc<Aes256GcmSiv>>>,
    random: SystemRandom,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.keys.load().keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A keyring that unwraps with the cluster's master key.
    pub(crate) fn new(master: &[u8; KEY]) -> Self {
        Self { master: Aes256GcmSiv::new(master.into()), keys: ArcSwap::default(), random: SystemRandom::new() }
    }

    /// The storage key of the data key `id`.
    pub(crate) fn storage_key(id: u32) -> String {
        format!("{KEYS_PREFIX}{id:08x}")
    }

    /// True when values can be sealed.
    pub(crate) fn is_ready(&self) -> bool {
        !self.keys.load().is_empty()
    }

    /// A fresh data key, wrapped, to be stored at [`Self::storage_key`].
    pub(crate) fn create(&self, id: u32) -> Result<Vec<u8>, EncryptionError> {
        let mut key = [0; KEY];
        self.random.fill(&mut key).map_err(|_| EncryptionError::Random)?;
        self.encrypt(&self.master, &Self::storage_key(id), &key)
    }

    /// Takes in a wrapped data key found in the store.
    pub(crate) fn install(&self, id: u32, wrapped: &[u8]) -> Result<(), EncryptionError> {
        if self.keys.load().contains_key(&id) {
            return Ok(());
        }
        let opened = decrypt(&self.master, &Self::storage_key(id), wrapped)?;
        let key: [u8; KEY] = opened.try_into().map_err(|_| EncryptionError::UnknownKey(id))?;
        let cipher = Arc::new(Aes256GcmSiv::new(&key.into()));
        self.keys.rcu(|keys| {
            let mut keys = BTreeMap::clone(keys);
            keys.insert(id, cipher.clone());
            keys
        });
        Ok(())
    }

    /// The sealed form of `value`, which is to stand at `storage_key`, under the newest data key.
    pub(crate) fn seal(&self, storage_key: &str, value: &[u8]) -> Result<Bytes, EncryptionError> {
        let keys = self.keys.load();
        let (id, cipher) = keys.last_key_value().ok_or(EncryptionError::NoKey)?;
        let sealed = self.encrypt(cipher, storage_key, value)?;
        let mut out = Vec::with_capacity(HEADER + sealed.len());
        out.extend([MARK, VERSION]);
        out.extend(id.to_be_bytes());
        out.extend(sealed);
        Ok(out.into())
    }

    /// What was sealed, or the value itself when it is not encrypted.
    pub(crate) fn open(&self, storage_key: &str, value: &Bytes) -> Result<Bytes, EncryptionError> {
        if value.first() != Some(&MARK) {
            return Ok(value.clone());
        }
        let broken = || EncryptionError::Broken(storage_key.to_owned());
        let id = value.get(2..HEADER).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes).ok_or_else(broken)?;
        let keys = self.keys.load();
        let cipher = keys.get(&id).ok_or(EncryptionError::UnknownKey(id))?;
        decrypt(cipher, storage_key, &value[HEADER..]).map(Bytes::from)
    }

    fn encrypt(&self, cipher: &Aes256GcmSiv, storage_key: &str, value: &[u8]) -> Result<Vec<u8>, EncryptionError> {
        let mut nonce = [0; NONCE];
        self.random.fill(&mut nonce).map_err(|_| EncryptionError::Random)?;
        let payload = Payload { msg: value, aad: storage_key.as_bytes() };
        let sealed = cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| EncryptionError::Broken(storage_key.to_owned()))?;
        Ok([&nonce[..], &sealed].concat())
    }
}

/// Whether the master key unwraps a data key found in the store, which is what decides whether a backup can be used with it.
pub fn opens_data_key(master: &[u8; KEY], storage_key: &str, wrapped: &[u8]) -> bool {
    decrypt(&Aes256GcmSiv::new(master.into()), storage_key, wrapped).is_ok()
}

fn decrypt(cipher: &Aes256GcmSiv, storage_key: &str, sealed: &[u8]) -> Result<Vec<u8>, EncryptionError> {
    let broken = || EncryptionError::Broken(storage_key.to_owned());
    let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or_else(broken)?;
    let payload = Payload { msg: sealed, aad: storage_key.as_bytes() };
    cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        let keyring = Keyring::new(&[7; KEY]);
        let wrapped = keyring.create(1).unwrap();
        keyring.install(1, &wrapped).unwrap();
        keyring
    }

    #[test]
    fn a_sealed_value_opens_only_where_it_was_sealed() {
        let keyring = keyring();
        let sealed = keyring.seal("/registry/secrets/a/b", b"J{}").unwrap();
        assert_eq!(keyring.open("/registry/secrets/a/b", &sealed).unwrap(), "J{}");
        let moved = keyring.open("/registry/secrets/a/c", &sealed);
        assert_eq!(moved, Err(EncryptionError::Broken("/registry/secrets/a/c".into())));
        let mut changed = sealed.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(keyring.open("/registry/secrets/a/b", &changed.into()).is_err());
        assert!(keyring.open("/registry/secrets/a/b", &Bytes::from_static(b"E")).is_err());
    }

    #[test]
    fn plain_values_pass_and_old_keys_still_open() {
        let keyring = keyring();
        assert_eq!(keyring.open("k", &Bytes::from_static(b"J{}")).unwrap(), "J{}");
        let old = keyring.seal("k", b"old").unwrap();
        let wrapped = keyring.create(2).unwrap();
        keyring.install(2, &wrapped).unwrap();
        assert_eq!(keyring.open("k", &old).unwrap(), "old");
        assert_ne!(keyring.seal("k", b"new").unwrap()[..HEADER], old[..HEADER]);
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let wrapped = keyring().create(3).unwrap();
        let stranger = Keyring::new(&[8; KEY]);
        assert!(stranger.install(3, &wrapped).is_err());
        assert_eq!(stranger.seal("k", b""), Err(EncryptionError::NoKey));
    }
}
