// Formulas arrive as \(..\) and \[..\] in elements of class arithmatex; nothing else is looked at.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  // Centred, a numbered formula would keep the room of its number on the left as well.
  svg: { displayAlign: "left", displayIndent: "0.5em" },
  options: { ignoreHtmlClass: ".*", processHtmlClass: "arithmatex", enableMenu: false },
  startup: {
    // An inline formula longer than a line of text cannot be broken; the stylesheet lets those scroll.
    pageReady: () =>
      MathJax.startup.defaultPageReady().then(() => {
        for (const formula of document.querySelectorAll("span.arithmatex")) {
          const line = formula.closest("p, li, td, dd, div");
          const drawn = formula.querySelector("svg");
          if (drawn && drawn.getBoundingClientRect().width > line.clientWidth) formula.classList.add("long");
        }
      }),
  },
};
