// The waiting page: is told when the login waits no more, and renews the QR code. In mode local nothing advances here.
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

  // Whether that was the last word.
  function hear(word) {
    if (word === "waiting") {
      tell(waiting.dataset.waits);
      return false;
    }
    tell(word === "done" ? waiting.dataset.done : waiting.dataset.over);
    if (word !== "gone") {
      form.submit();
    }
    return true;
  }

  function listen() {
    const stream = new EventSource(waiting.dataset.events);
    let isHeard = false;
    stream.onmessage = ({ data }) => {
      isHeard = true;
      if (hear(data)) {
        stream.close();
      }
    };
    stream.onerror = () => {
      // A stream that ends after a word is opened again by the browser, after a pause.
      if (stream.readyState === EventSource.CLOSED || !isHeard) {
        stream.close();
        ask();
      }
      isHeard = false;
    };
  }

  // Where there is no stream to be had: ask why, and try again.
  async function ask() {
    try {
      const answer = await fetch(waiting.dataset.status, { credentials: "same-origin", cache: "no-store" });
      if (hear(answer.status === 400 ? "gone" : (await answer.json()).status)) {
        return;
      }
    } catch {
      tell(waiting.dataset.away);
    }
    setTimeout(listen, askEveryMs);
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

  listen();
  if (qr) {
    setInterval(renew, renewEveryMs);
  }
})();
