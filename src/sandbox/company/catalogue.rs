//! What the company sells, and the kinds of work its jobs are about.

use crate::sandbox::company::catalogue::Trade::{Electrical, Hvac, Plumbing};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trade {
    Hvac,
    Plumbing,
    Electrical,
}

/// Something that can stand on a job or estimate.
pub(crate) struct Item {
    pub(crate) id: i64,
    pub(crate) name: &'static str,
    pub(crate) rate: f64,
    pub(crate) cost: f64,
}

const fn item(id: i64, name: &'static str, rate: f64, cost: f64) -> Item {
    Item {
        id,
        name,
        rate,
        cost,
    }
}

pub(crate) const SERVICES: [Item; 18] = [
    item(45_301, "Diagnostic visit", 89.0, 28.0),
    item(45_302, "Emergency dispatch fee", 149.0, 55.0),
    item(45_303, "AC tune-up", 129.0, 40.0),
    item(45_304, "Furnace tune-up", 119.0, 40.0),
    item(45_305, "Refrigerant leak search", 285.0, 90.0),
    item(45_306, "Capacitor replacement labor", 165.0, 45.0),
    item(45_307, "Blower motor replacement labor", 340.0, 120.0),
    item(45_308, "System installation labor", 2_850.0, 1_200.0),
    item(45_309, "Drain clearing", 189.0, 60.0),
    item(45_310, "Hydro jetting", 525.0, 170.0),
    item(45_311, "Sewer camera inspection", 245.0, 70.0),
    item(45_312, "Water heater installation labor", 780.0, 310.0),
    item(45_313, "Leak repair labor", 210.0, 75.0),
    item(45_314, "Fixture installation labor", 195.0, 70.0),
    item(45_315, "Circuit installation labor", 420.0, 160.0),
    item(45_316, "Panel upgrade labor", 1_650.0, 700.0),
    item(45_317, "Backflow test", 125.0, 35.0),
    item(45_318, "Duct cleaning", 449.0, 150.0),
];

pub(crate) const PRODUCTS: [Item; 18] = [
    item(77_101, "CAP-45/5", 42.0, 14.5),
    item(77_102, "BLWR-1/2HP", 385.0, 210.0),
    item(77_103, "R410A-LB", 95.0, 38.0),
    item(77_104, "TSTAT-T6", 189.0, 96.0),
    item(77_105, "COND-3T-16", 3_150.0, 1_980.0),
    item(77_106, "FURN-80K-96", 2_240.0, 1_390.0),
    item(77_107, "COIL-3T", 1_120.0, 640.0),
    item(77_108, "WH-50G-NG", 1_090.0, 645.0),
    item(77_109, "WH-TL-199", 1_875.0, 1_190.0),
    item(77_110, "PRV-3/4", 128.0, 61.0),
    item(77_111, "TOILET-1.28", 289.0, 164.0),
    item(77_112, "FAUCET-K", 245.0, 139.0),
    item(77_113, "DISP-3/4HP", 265.0, 158.0),
    item(77_114, "FILTER-MERV11", 24.0, 9.0),
    item(77_115, "PANEL-200A", 890.0, 512.0),
    item(77_116, "GFCI-20A", 38.0, 16.0),
    item(77_117, "IGNITOR-HSI", 68.0, 24.0),
    item(77_118, "SUMP-1/2HP", 310.0, 182.0),
];

pub(crate) struct Work {
    pub(crate) trade: Trade,
    pub(crate) category: &'static str,
    pub(crate) description: &'static str,
    pub(crate) outcome: &'static str,
    /// Positions in `SERVICES` and `PRODUCTS`.
    pub(crate) services: &'static [usize],
    pub(crate) products: &'static [usize],
}

const fn work(
    trade: Trade,
    category: &'static str,
    description: &'static str,
    outcome: &'static str,
    lines: (&'static [usize], &'static [usize]),
) -> Work {
    Work {
        trade,
        category,
        description,
        outcome,
        services: lines.0,
        products: lines.1,
    }
}

pub(crate) const WORKS: [Work; 24] = [
    work(
        Hvac,
        "Service Call",
        "AC is blowing warm air upstairs",
        "Weak run capacitor replaced, 18 °F split now",
        (&[0, 5], &[0]),
    ),
    work(
        Plumbing,
        "Drain Cleaning",
        "Kitchen sink drains slowly, disposal hums",
        "Line cleared to the main, disposal reset",
        (&[8], &[]),
    ),
    work(
        Hvac,
        "Maintenance",
        "Comfort Club spring tune-up",
        "Coils rinsed, filter changed, readings normal",
        (&[2], &[13]),
    ),
    work(
        Electrical,
        "Service Call",
        "Half of the kitchen outlets are dead",
        "Tripped and worn GFCI replaced",
        (&[0], &[15]),
    ),
    work(
        Plumbing,
        "Water Heater",
        "No hot water, pilot will not stay lit",
        "Tank leaking at the seam, 50 gallon unit replaced",
        (&[11], &[7]),
    ),
    work(
        Hvac,
        "Install",
        "Replace 3 ton condenser and coil",
        "System started up, charge weighed in, permit posted",
        (&[7], &[4, 6]),
    ),
    work(
        Plumbing,
        "Service Call",
        "Leak under the bathroom sink, cabinet is wet",
        "Supply line and angle stop replaced",
        (&[0, 12], &[]),
    ),
    work(
        Hvac,
        "Maintenance",
        "Furnace check before winter",
        "Heat exchanger sound, flame sensor cleaned",
        (&[3], &[13]),
    ),
    work(
        Hvac,
        "Service Call",
        "Furnace starts and shuts off after a minute",
        "Ignitor cracked and replaced",
        (&[0], &[16]),
    ),
    work(
        Plumbing,
        "Inspection",
        "Annual backflow test with city report",
        "Passed, report sent to the city",
        (&[16], &[]),
    ),
    work(
        Plumbing,
        "Drain Cleaning",
        "Main line backs up when the washer drains",
        "Roots at 42 ft, line jetted and filmed",
        (&[9, 10], &[]),
    ),
    work(
        Hvac,
        "Service Call",
        "Thermostat screen blank after the storm",
        "Low-voltage fuse and thermostat replaced",
        (&[0], &[3]),
    ),
    work(
        Electrical,
        "Install",
        "Dedicated 20 A circuit for a freezer",
        "Circuit run and labelled",
        (&[14], &[15]),
    ),
    work(
        Hvac,
        "Warranty",
        "Blower motor noisy, installed last year",
        "Motor replaced under manufacturer warranty",
        (&[6], &[]),
    ),
    work(
        Plumbing,
        "Install",
        "Install two toilets supplied by us",
        "Both set and tested",
        (&[13], &[10]),
    ),
    work(
        Hvac,
        "Service Call",
        "Ice on the refrigerant line",
        "Leak at the flare, repaired and recharged",
        (&[4], &[2]),
    ),
    work(
        Plumbing,
        "Service Call",
        "Water pressure very high, pipes hammer",
        "Pressure reducing valve replaced, 62 psi",
        (&[12], &[9]),
    ),
    work(
        Hvac,
        "Maintenance",
        "Quarterly rooftop unit service",
        "Belts and filters changed on all units",
        (&[2, 3], &[13]),
    ),
    work(
        Electrical,
        "Install",
        "Upgrade panel to 200 A",
        "Panel changed, inspection green tag",
        (&[15], &[14]),
    ),
    work(
        Plumbing,
        "Water Heater",
        "Tankless heater shows an error and flushes cold",
        "Descaled, inlet filter cleaned",
        (&[0], &[]),
    ),
    work(
        Hvac,
        "Install",
        "New 96% furnace with media filter",
        "Started up, gas pressure set",
        (&[7], &[5]),
    ),
    work(
        Plumbing,
        "Service Call",
        "Garbage disposal jammed and leaking",
        "Disposal replaced",
        (&[13], &[12]),
    ),
    work(
        Hvac,
        "Inspection",
        "Home sale inspection of both systems",
        "Report sent to the agent",
        (&[0], &[]),
    ),
    work(
        Hvac,
        "Service Call",
        "Uneven cooling, dust from the vents",
        "Ducts cleaned, return sealed",
        (&[17], &[13]),
    ),
];
