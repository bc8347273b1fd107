// Browsers start no Worker from file://, so the search of pages opened as files runs in a hidden frame instead.
// Material's search looks for a global of this name (config.extra.polyfills in mkdocs.yml).
if (location.protocol === "file:") {
  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.body.appendChild(document.createElement("iframe"));
      this.frame.hidden = true;
      const inner = this.frame.contentWindow;
      const load = (address) => new Promise((resolve, reject) => {
        const script = inner.document.createElement("script");
        Object.assign(script, { src: address, onload: resolve, onerror: reject });
        inner.document.body.append(script);
      });
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inner.importScripts = async (...addresses) => { for (const address of addresses) await load(address); };
      this.ready = load(new URL(url, location.href).href);
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() { this.frame.remove(); }
  }
  window.IFrameWorker = window.Worker = IFrameWorker;
}
