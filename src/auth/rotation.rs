//! Reading a profile's sign-in with the key it is sealed with now, and giving it another one.
//!
//! The next key is written beside the one in use, then every value is resealed in one transaction that also records
//! the next key's id, then the next key takes the old one's place. Whoever dies in between leaves a sign-in that
//! opens: the recorded id says which key counts, and the next process that finds it out of place puts it right.

use crate::{
    auth::{
        lock,
        master_key::{self, Place, Slot},
        session::{Error, Profile},
        steps,
        vault::{self, Head, Secrets},
    },
    seal::SealingKey,
};

/// A sign-in that was opened.
pub struct Opened {
    pub head: Head,
    pub key: SealingKey,
    pub secrets: Secrets,
}

/// How a rotation went.
pub struct Rotated {
    pub place: Place,
    /// Why the new key is beside the old one's place still; nothing is lost by that.
    pub remark: Option<master_key::Error>,
}

impl Profile {
    /// Opens the sign-in. `known` saves reading the key where it is still the right one.
    pub fn open(&self, known: Option<&SealingKey>) -> Result<Opened, Error> {
        let mut head = self.head()?;
        loop {
            let key = match known {
                Some(key) if key.id() == head.key_id => key.clone(),
                _ => self.key_of(&head)?,
            };
            let problem = match self.vault.secrets(&key, &head) {
                Ok(secrets) => return Ok(Opened { head, key, secrets }),
                Err(problem) => problem,
            };
            let now = self.head()?;
            let has_moved = now.key_id != head.key_id;
            if !(has_moved && matches!(problem, vault::Error::OtherKey { .. })) {
                return Err(problem.into());
            }
            // A rotation or a login ended while we read.
            head = now;
        }
    }

    /// Seals the sign-in with a new key, in the place of the old one. No renewal runs meanwhile.
    pub fn rotate_key(&self) -> Result<Rotated, Error> {
        let _held = lock::lock(&self.lock_file)?;
        let head = self.head()?;
        let place = head.place;
        let (old, _) = self.places.read(place, &head.key_id)?;
        // Nothing is begun unless every value opens.
        self.vault.secrets(&old, &head)?;
        self.places.settle(place, &head.key_id)?;
        let next = self.places.put_next(place, &head.key_id)?;
        steps::reached("next key written");
        if let Err(problem) = self.vault.reseal(&head, &old, &next) {
            // The commit may have failed or only what came after it.
            if let Ok(head) = self.head() {
                let _ = self.places.settle(place, &head.key_id);
            }
            return Err(problem.into());
        }
        steps::reached("resealed");
        let remark = self.places.promote(place).err();
        steps::reached("promoted");
        Ok(Rotated { place, remark })
    }

    fn head(&self) -> Result<Head, Error> {
        self.vault.head()?.ok_or(Error::SignedOut)
    }

    /// The key of that sign-in; where a rotation was cut off before the end, the end is made up for.
    fn key_of(&self, head: &Head) -> Result<SealingKey, Error> {
        let (key, slot) = self.places.read(head.place, &head.key_id)?;
        // Whoever has the lock will see to it.
        if slot == Slot::Next
            && head.place != Place::Environment
            && let Some(_held) = lock::lock_if_free(&self.lock_file)
        {
            let head = self.head()?;
            match self.places.settle(head.place, &head.key_id) {
                Ok(()) => tracing::info!("a change of the key that was cut off is finished"),
                Err(problem) => tracing::warn!(%problem, "the new key is not in its place yet"),
            }
        }
        Ok(key)
    }
}
