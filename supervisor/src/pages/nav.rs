//! The links at the top of pages.

/// One of several places, of which one is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub href: String,
    pub text: &'static str,
    pub is_current: bool,
}

/// Places of a company's portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Overview,
    Install,
    Usage,
    People,
    Devices,
    Clients,
    Settings,
}

/// Places of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    Tenants,
    Fleet,
    Audit,
}

/// The portal of a company.
pub fn company(tenant_id: &str, current: Place) -> Vec<Link> {
    [
        (Place::Overview, "", "Overview"),
        (Place::Install, "/install", "Install"),
        (Place::Usage, "/usage", "Usage"),
        (Place::People, "/people", "People"),
        (Place::Devices, "/devices", "Devices"),
        (Place::Clients, "/clients", "AI clients"),
        (Place::Settings, "/settings", "Settings"),
    ]
    .map(|(place, path, text)| Link {
        href: format!("/app/{tenant_id}{path}"),
        text,
        is_current: place == current,
    })
    .into()
}

/// The operator's panel.
pub fn operator(current: Desk) -> Vec<Link> {
    [
        (Desk::Tenants, "/admin", "Companies"),
        (Desk::Fleet, "/admin/fleet", "Fleet"),
        (Desk::Audit, "/admin/audit", "Audit log"),
    ]
    .map(|(desk, href, text)| Link {
        href: href.to_owned(),
        text,
        is_current: desk == current,
    })
    .into()
}
