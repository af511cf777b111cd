"use strict";
const frames = JSON.parse(document.getElementById("frames").textContent);
const slider = document.getElementById("iteration");
const grid = document.getElementById("grid");
const show = () => {
  const frame = frames[slider.value];
  grid.src = frame.src;
  grid.alt = frame.alt;
  document.getElementById("shown").textContent = frame.words;
  slider.setAttribute("aria-valuetext", frame.words);
};
slider.closest(".slider").hidden = false;
slider.value = frames.length - 1; // a browser that reloads may remember another
slider.addEventListener("input", show);
show();
