const pair = JSON.parse(byId("data").textContent);
createWhy(byId("why")).show({ ...pair, explain: (position) => pair.explanations[position] });
