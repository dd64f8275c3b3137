// What pages do better with a script; each works without it.
"use strict";

// A value gets a button that copies it. `data-copy` says what it is, for people who hear the page.
for (const place of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button second small";
  button.textContent = "Copy";
  const name = place.dataset.copy || "this";
  button.setAttribute("aria-label", `Copy ${name}`);
  const said = document.createElement("span");
  said.className = "unseen";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(place.firstElementChild.textContent.trim());
      button.textContent = "Copied";
      said.textContent = `Copied ${name}`;
    } catch {
      button.textContent = "Select and copy by hand";
    }
    setTimeout(() => {
      button.textContent = "Copy";
      said.textContent = "";
    }, 3000);
  });
  place.append(button, said);
}

// A time in UTC is shown as the person's own.
for (const time of document.querySelectorAll("time[datetime][data-local]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  time.title = time.textContent;
  const style = time.dataset.local === "date" ? { dateStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  time.textContent = at.toLocaleString(undefined, style);
}

// A time zone that nobody has chosen is the browser's.
for (const field of document.querySelectorAll("input[data-time-zone]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!field.value && zone) field.value = zone;
}

// What something waits for is asked until it is there, less and less often, and not while nobody looks.
for (const place of document.querySelectorAll("[data-check]")) {
  let wait = 1000;
  const ask = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(place.dataset.check, { headers: { accept: "application/json" } });
        if (answer.redirected || answer.status === 404) return; // signed out, or gone
        const said = answer.ok ? await answer.json() : {};
        if (said.done) {
          place.classList.replace("waiting", "ok");
          place.firstElementChild.textContent = said.text;
          for (const link of place.querySelectorAll("[data-until-done]")) link.remove();
          return;
        }
      } catch {
        // The service is away for a moment.
      }
      wait = Math.min(wait * 1.5, 30000);
    }
    setTimeout(ask, wait);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wait = 1000;
  });
  setTimeout(ask, wait);
}
