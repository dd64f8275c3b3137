//! "Lone Star Comfort": the plumbing and HVAC company whose account the sandbox serves.

mod board;
pub(crate) mod catalogue;
pub(crate) mod charges;
mod customers;
mod equipment;
mod estimates;
mod history;
mod invoices;
mod jobs;
mod names;
mod oddities;
mod paperwork;
mod plan;
mod random;
pub(crate) mod reference;
pub(crate) mod setting;
mod staff;
mod tasks;

use jiff::civil::DateTime;

use crate::sandbox::company::setting::Setting;
use crate::sandbox::contract::{CONTRACT, Kind};
use crate::sandbox::table::{Record, Table};

pub(crate) struct Company {
    pub(crate) me: Record,
    pub(crate) calendar_tasks: Table,
    pub(crate) customers: Table,
    pub(crate) equipment: Table,
    pub(crate) jobs: Table,
    pub(crate) job_categories: Table,
    pub(crate) job_statuses: Table,
    pub(crate) estimates: Table,
    pub(crate) invoices: Table,
    pub(crate) payment_types: Table,
    pub(crate) sources: Table,
    pub(crate) techs: Table,
}

impl Company {
    /// The same clock always makes the same company.
    pub(crate) fn new(now: DateTime, extra_jobs: u32) -> Self {
        let mut setting = Setting::new(now);
        let mut company = Self::empty();
        reference::fill(&mut company);
        staff::fill(&mut company, &setting);
        customers::fill(&mut company, &mut setting);
        equipment::fill(&mut company, &mut setting);
        jobs::fill(&mut company, &mut setting, extra_jobs);
        customers::remember_earlier_years(&mut company, &setting);
        estimates::fill(&mut company, &mut setting);
        tasks::fill(&mut company, &setting);
        oddities::spoil(&mut company);
        company
    }

    fn empty() -> Self {
        let resources = &CONTRACT.resources;
        Self {
            me: Record::new(&resources.me, serde_json::Map::new()),
            calendar_tasks: Table::new(&resources.calendar_tasks),
            customers: Table::new(&resources.customers),
            equipment: Table::new(&resources.equipment),
            jobs: Table::new(&resources.jobs),
            job_categories: Table::new(&resources.job_categories),
            job_statuses: Table::new(&resources.job_statuses),
            estimates: Table::new(&resources.estimates),
            invoices: Table::new(&resources.invoices),
            payment_types: Table::new(&resources.payment_types),
            sources: Table::new(&resources.sources),
            techs: Table::new(&resources.techs),
        }
    }

    pub(crate) fn table(&self, kind: Kind) -> Option<&Table> {
        match kind {
            Kind::Me => None,
            Kind::CalendarTasks => Some(&self.calendar_tasks),
            Kind::Customers => Some(&self.customers),
            Kind::Equipment => Some(&self.equipment),
            Kind::Jobs => Some(&self.jobs),
            Kind::JobCategories => Some(&self.job_categories),
            Kind::JobStatuses => Some(&self.job_statuses),
            Kind::Estimates => Some(&self.estimates),
            Kind::Invoices => Some(&self.invoices),
            Kind::PaymentTypes => Some(&self.payment_types),
            Kind::Sources => Some(&self.sources),
            Kind::Techs => Some(&self.techs),
        }
    }
}
