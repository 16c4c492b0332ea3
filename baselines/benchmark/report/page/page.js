"use strict";
(() => {
  const suite = document.getElementById("suite");
  const variant = document.getElementById("variant");
  const boxes = [...document.querySelectorAll("#methods input")];

  const filter = () => {
    let some = false;
    for (const one of document.querySelectorAll(".environment")) {
      const fits = (select, name) => select.value === "" || select.value === one.dataset[name];
      one.hidden = !(fits(suite, "suite") && fits(variant, "variant"));
      some = some || !one.hidden;
    }
    for (const view of document.querySelectorAll(".view")) {
      const choices = JSON.parse(view.dataset.choices);
      view.hidden = !choices.some(([own, other]) => own === suite.value && other === variant.value);
    }
    document.getElementById("nothing").hidden = some;
    for (const box of boxes) document.documentElement.classList.toggle(`hide-${box.value}`, !box.checked);
    const shown = boxes.filter((box) => box.checked).length;
    document.getElementById("count").textContent = `${shown} of ${boxes.length}`;
  };

  const check = (value) => () => {
    for (const box of boxes) box.checked = value;
    filter();
  };

  document.getElementById("all").addEventListener("click", check(true));
  document.getElementById("none").addEventListener("click", check(false));
  document.getElementById("filters").addEventListener("change", filter);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
