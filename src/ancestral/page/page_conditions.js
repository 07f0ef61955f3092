/* Controls of what samples are conditioned on besides the class: numbers, classes and images.
 *
 * Each control has value(): {input, text} (what the network gets, and the text of a recipe) or null where it is absent,
 * and restore(read(text)), where read() raises an error unless restore() can take the text. That of an image has
 * set(image) in the place of both, take(file), and no text; an image is {values, height, width, file}, in the units of
 * the data.
 */
(function () {
  "use strict";

  const P = globalThis.AncestralPage, { element } = P;

  /** The control of a condition, with its `part` of the page. */
  function conditionControl(name, condition, model) {
    const isSignal = condition.kind === "Image" && model.shape.length !== 3;
    return isSignal ? signal(name)
      : { Classes: classes, Vector: vector, Image: image }[condition.kind](name, condition, model);
  }

  /** Of a signal, which a browser has no files of: it is always absent. */
  function signal(name) {
    const text = "The page takes no signals: samples are made without it.";
    const hint = element("p", { className: "hint", textContent: text });
    const part = element("fieldset", {}, element("legend", { textContent: name }), hint);
    return { part, value: () => null, set() {} };
  }

  function classes(name, { names }) {
    const select = element("select", { name: `given ${name}` }, new Option("none", "-1"));
    select.append(...names.map((text, i) => new Option(text, i)));
    select.selectedIndex = 1;
    return {
      part: element("label", { className: "row" }, element("span", { textContent: name }), select),
      value: () => (select.value === "-1" ? null : { input: Number(select.value), text: names[select.value] }),
      read(text) {
        if (text !== "none" && !names.includes(text)) throw new Error(`The picture has another ${name}: ${text}.`);
        return names.indexOf(text);
      },
      restore: (index) => (select.value = index),
    };
  }

  function vector(name, { mean, std, names, low, high }) {
    const given = element("input", { type: "checkbox", checked: true });
    const rows = mean.map((middle, i) => {
      const label = names[i] || (mean.length > 1 ? `number ${i + 1}` : "value"), ariaLabel = `${name}, ${label}`;
      const range = element("input", { type: "range", ariaLabel });
      const number = element("input", { type: "number", step: "any", ariaLabel: `${ariaLabel}, as a number` });
      const min = low?.[i] ?? middle - 3 * std[i], max = high?.[i] ?? middle + 3 * std[i];
      Object.assign(range, { min, max, step: (max - min) / 300 });
      range.value = middle;
      number.value = Number(middle.toPrecision(4));
      range.oninput = () => {
        number.value = Number(Number(range.value).toPrecision(4));
        given.checked = true;
      };
      number.oninput = () => {
        range.value = number.value;
        given.checked = true;
      };
      const part = element("div", { className: "row" }, element("span", { textContent: label }), range, number);
      return { number, range, part };
    });
    const head = element("label", { className: "row" }, given, element("span", { textContent: "given" }));
    const legend = element("legend", { textContent: name });
    return {
      part: element("fieldset", {}, legend, head, ...rows.map((row) => row.part)),
      value() {
        if (!given.checked) return null;
        const values = rows.map(({ number }) => (number.value === "" ? NaN : Number(number.value)));
        if (!values.every(Number.isFinite)) throw new Error(`${name} must be a number, or not given.`);
        const input = Float32Array.from([...values.map((value, i) => (value - mean[i]) / std[i]), 1]);
        return { input, text: values.map(String).join(",") };
      },
      read(text) {
        if (text === "none") return null;
        const values = text.split(",").map((value) => (value === "" ? NaN : Number(value)));
        if (values.length === rows.length && values.every(Number.isFinite)) return values;
        throw new Error(`The picture has another ${name}: ${text}.`);
      },
      restore(values) {
        given.checked = values !== null;
        if (values) values.forEach((value, i) => (rows[i].range.value = rows[i].number.value = value));
      },
    };
  }

  function image(name, condition, model) {
    const { channels } = condition, picture = element("canvas", { className: "thumbnail", width: 1, height: 1 });
    picture.setAttribute("role", "img");
    const file = element("input", { type: "file", accept: "image/*", ariaLabel: `Image ${name}` });
    const remove = element("button", { type: "button", textContent: "Remove", disabled: true });
    const choose = element("label", { className: "file" }, "Image … ", file);
    const part = element("fieldset", {}, element("legend", { textContent: name }),
      element("div", { className: "row" }, picture, choose, remove));
    let current = null;

    function set(chosen) {
      current = chosen;
      remove.disabled = !chosen;
      const { height, width } = chosen || { height: 1, width: 1 };
      Object.assign(picture, { width, height, ariaLabel: chosen ? `The image ${name}` : `No image ${name}` });
      if (!chosen) return;
      const colours = channels - (condition.masked ? 1 : 0) >= 3 ? 3 : 1; // without what says which part is known
      const seen = P.toBytes(chosen.values, condition.codec).subarray(0, colours * height * width);
      picture.getContext("2d").putImageData(P.toPixels(seen, [colours, height, width]), 0, 0);
    }

    async function take(chosen) {
      const pixels = await P.pixelsOf(chosen), shape = [channels, pixels.height, pixels.width];
      const [height, width] = condition.sides.length ? condition.sides : shape.slice(1);
      const bytes = P.fitted(P.fromPixels(pixels, channels), shape, [height, width]);
      set({ values: P.fromBytes(bytes, condition.codec), height, width, file: chosen.name || "image" });
    }

    function value() {
      if (!current) return null;
      const { values, height, width } = current;
      return { input: P.conditionInput(values, condition, [height, width], model.x_shape.slice(1)), image: current };
    }

    file.onchange = () => file.files[0] && take(file.files[0]).catch((error) => P.say(error.message));
    remove.onclick = () => {
      file.value = "";
      set(null);
    };
    set(null);
    return { part, value, set, take };
  }

  P.conditionControl = conditionControl;
})();
