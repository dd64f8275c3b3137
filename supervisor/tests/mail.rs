//! Mails over a real SMTP conversation.

use secrecy::SecretString;
use serde_json::json;
use sf_supervisor::config::Mail;

use crate::support::{
    Service,
    mailbox::{Caught, Mailbox, PASSWORD, Tls, USER},
    until,
};

/// A service that sends to `mailbox` by this address, in which `PORT` stands for its port.
async fn sending_to(mailbox: &Mailbox, url: &str) -> Service {
    let url = url.replace("PORT", &mailbox.port.to_string());
    let ca_file = Some(mailbox.ca.path().to_owned());
    Service::with(|config| {
        config.mail = Mail::Smtp {
            url: SecretString::from(url),
            ca_file,
        };
        "Service Fusion MCP <mcp@example.com>".clone_into(&mut config.mail_from);
    })
    .await
}

async fn register(service: &Service, company: &str) -> u16 {
    let form = json!({"company": company, "email": "Anna@Example.com"});
    let answer = service.post("/api/register", &form).send().await.unwrap();
    answer.status().as_u16()
}

async fn caught_by(tls: Tls, asks_who: bool, url: &str) -> Caught {
    let mailbox = Mailbox::start(tls, asks_who).await;
    let service = sending_to(&mailbox, url).await;
    assert_eq!(register(&service, "Comfort Air").await, 202);
    let mail = mailbox.mails(1).await.remove(0);
    service.stop().await;
    mail
}

fn account() -> String {
    use url::form_urlencoded::byte_serialize;
    let plain = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!("{}:{}", plain(USER), plain(PASSWORD).replace('+', "%20"))
}

#[tokio::test]
async fn a_mail_server_on_this_machine_needs_no_encryption() {
    let mail = caught_by(Tls::None, false, "smtp://127.0.0.1:PORT").await;
    assert_eq!(mail.from, "mcp@example.com");
    assert_eq!(mail.to, ["anna@example.com"]);
    assert_eq!(mail.code().len(), 6);
    assert!(!mail.protected);
}

#[tokio::test]
async fn starttls_comes_before_the_password_and_the_mail() {
    let url = format!("smtp://{}@localhost:PORT?tls=required", account());
    let mail = caught_by(Tls::Starttls, true, &url).await;
    assert!(mail.protected);
    assert_eq!(mail.code().len(), 6);
}

#[tokio::test]
async fn tls_may_begin_with_the_first_byte() {
    let url = format!("smtps://{}@localhost:PORT", account());
    let mail = caught_by(Tls::Implicit, true, &url).await;
    assert!(mail.protected);
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let mailbox = Mailbox::start(Tls::None, false).await;
    let service = sending_to(&mailbox, "smtp://localhost:PORT?tls=required").await;
    assert_eq!(register(&service, "Comfort Air").await, 202);

    service.stop().await;

    assert!(mailbox.all().is_empty());
}

#[tokio::test]
async fn a_strange_certificate_gets_nothing() {
    let (mailbox, other) = (
        Mailbox::start(Tls::Implicit, false).await,
        Mailbox::start(Tls::Implicit, false).await,
    );
    let url = format!("smtps://localhost:{}", mailbox.port);
    let service = sending_to(&other, &url).await;
    assert_eq!(register(&service, "Comfort Air").await, 202);

    service.stop().await;

    assert!(mailbox.all().is_empty());
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_tried_again_with_the_same_mail() {
    let mailbox = Mailbox::start(Tls::None, false).await;
    mailbox.refuse(&["451 greylisted, come back", "421 busy"]);
    let service = sending_to(&mailbox, "smtp://127.0.0.1:PORT").await;
    assert_eq!(register(&service, "Comfort Air").await, 202);

    let mails = mailbox.mails(1).await;

    assert_eq!(mails.len(), 1);
    assert_eq!(mailbox.refusals_left(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_is_not_tried_again() {
    let mailbox = Mailbox::start(Tls::None, false).await;
    mailbox.refuse(&["550 no such person"]);
    let service = sending_to(&mailbox, "smtp://127.0.0.1:PORT").await;
    assert_eq!(register(&service, "Comfort Air").await, 202);
    until("refusal", async || {
        (mailbox.refusals_left() == 0).then_some(())
    })
    .await;

    // Stopping gives all that is still wanted a last try.
    service.stop().await;

    assert!(mailbox.all().is_empty());
}

#[tokio::test]
async fn what_waits_when_the_service_stops_gets_a_last_try() {
    let mailbox = Mailbox::start(Tls::None, false).await;
    mailbox.refuse(&["451 later"; 4]);
    let service = sending_to(&mailbox, "smtp://127.0.0.1:PORT").await;
    assert_eq!(register(&service, "Comfort Air").await, 202);
    until("four refusals", async || {
        (mailbox.refusals_left() == 0).then_some(())
    })
    .await;

    service.stop().await;

    assert_eq!(mailbox.all().len(), 1);
}

#[tokio::test]
async fn nothing_a_stranger_writes_reaches_the_headers() {
    let mailbox = Mailbox::start(Tls::None, false).await;
    let service = sending_to(&mailbox, "smtp://127.0.0.1:PORT").await;
    for email in [
        "anna@example.com\r\nBcc: bert@example.com",
        "anna@example.com, bert@example.com",
        "Anna <anna@example.com>",
        "anna@example.com>\r\nRCPT TO:<bert@example.com",
    ] {
        let form = json!({"company": "Comfort Air", "email": email});
        let answer = service.post("/api/register", &form).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{email:?}");
    }
    assert_eq!(
        register(&service, "Air\r\nBcc: bert@example.com").await,
        400
    );
    assert_eq!(register(&service, "Bcc: bert@example.com <b>&").await, 202);

    let mail = mailbox.mails(1).await.remove(0);

    let (headers, body) = mail.content.split_once("\n\n").unwrap();
    assert_eq!(mail.to, ["anna@example.com"]);
    assert!(!headers.contains("bert"), "{headers}");
    assert!(!headers.contains(&mail.code()), "{headers}");
    assert!(
        headers.contains("Auto-Submitted: auto-generated"),
        "{headers}"
    );
    assert!(!body.contains("bert") && !body.contains("<b>"), "{body}");
    service.stop().await;
}
