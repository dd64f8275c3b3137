//! What a hosting service lends to a device of the environment: files of its own, sealed with a key made of its token.

use crate::{
    auth::{
        broker::Broker,
        lock,
        master_key::{Place, Places},
        session::{Error, Profile, blocking},
        vault::{Kind, Means, Secrets, Vault},
    },
    paths::Paths,
};

impl Profile {
    /// Files of its own for a device token from the environment, beside the profile's sign-in.
    pub fn of_device(paths: &Paths, name: &str, origin: &str, device: Broker) -> Self {
        let file = |end: &str| paths.device_file(&device.digest(), end);
        Self {
            vault: Vault::new(file("db"), name, origin),
            places: Places::new(paths).with_device(device.sealing_key()),
            lock_file: file("lock"),
            stamp_file: file("stamp"),
            // Its variables come from a bundle, which has the zone too.
            zone_file: None,
            device: Some(device),
        }
    }

    /// Begins to keep what is lent to this device; what is kept already stays. Other sign-ins have begun with a login.
    pub(super) async fn enrol(&self) -> Result<(), Error> {
        let Some(device) = self.device.clone() else {
            return Ok(());
        };
        let vault = self.vault.clone();
        // A file that another process is just making cannot be read yet; the lock tells when it can.
        if matches!(blocking(move || Ok(vault.head()?)).await, Ok(Some(_))) {
            return Ok(());
        }
        let _held = lock::take(self.lock_file.clone()).await?;
        let (vault, places) = (self.vault.clone(), self.places.clone());
        blocking(move || {
            if vault.head()?.is_some() {
                return Ok(());
            }
            let key = places.read_device()?;
            let nothing_yet = Secrets {
                means: Means::Device(device),
                access_token: String::new().into(),
                api_url: String::new(),
                expires_at: 0,
                life: 0,
                refresh_token: None,
                account: String::new(),
            };
            Ok(vault.store(Kind::Device, Place::Device, &key, &nothing_yet)?)
        })
        .await
    }
}
