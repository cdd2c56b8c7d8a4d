// The waiting page: asks whether the remote login is done, and renews the QR code. In mode local nothing advances here.
"use strict";
(() => {
  const waiting = document.getElementById("waiting");
  const form = document.getElementById("complete");
  const qr = document.getElementById("qr");
  const news = document.getElementById("news");
  const askEveryMs = 2000;
  const renewEveryMs = 30000;

  // A live region is read out each time its text changes: it changes only when there is something new.
  function tell(text) {
    if (news.textContent !== text) {
      news.textContent = text;
    }
  }

  async function ask() {
    try {
      const answer = await fetch(waiting.dataset.status, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 400) {
        tell(waiting.dataset.over);
        return;
      }
      const { status } = await answer.json();
      if (status === "done" || status === "over") {
        tell(status === "done" ? waiting.dataset.done : waiting.dataset.over);
        form.submit();
        return;
      }
      tell(waiting.dataset.waits);
    } catch {
      tell(waiting.dataset.away);
    }
    setTimeout(ask, askEveryMs);
  }

  async function renew() {
    try {
      const body = new URLSearchParams({ csrf_token: waiting.dataset.csrf });
      const answer = await fetch(waiting.dataset.handle, { method: "POST", body, credentials: "same-origin" });
      const fresh = await answer.json();
      if (fresh.qr) {
        qr.innerHTML = fresh.qr;
      }
    } catch {
      // the next time
    }
  }

  setTimeout(ask, askEveryMs);
  if (qr) {
    setInterval(renew, renewEveryMs);
  }
})();
